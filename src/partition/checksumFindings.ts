/**
 * Blocks that are not what their checksum says: what was found, and who must look closer (`docs/checksums.md`). Owned by the worker; nothing here touches a disk.
 *
 * Of a trusted extent a difference is damage, and so it is of a block that the replicas have voted on. Of another one the checksum may be the wrong part: it is suspect. A finding stays until its extent is gone,
 * was compared again without a difference, or all its blocks were healed.
 */
import { EXTENT_FLAG, NONE } from '../storage/extentTable.js';
import type { ExtentStore } from './extentStore.js';
import type { StoreHost } from './storeHost.js';

export interface Finding {
  partitionId: number;
  extentId: number;
  kind: 'damaged' | 'suspect';
  /** Numbers of the blocks, at most `BLOCKS_LISTED`; none when only an earlier process knew them. */
  blocks: number[];
  /** Unix ms at which the first was found. */
  foundMs: number;
}

/** Findings kept and told, and blocks of one; the counters go on. */
export const FINDINGS_LISTED = 10_000;
export const BLOCKS_LISTED = 64;
/** Extents that wait to be compared soon; the scrub comes to the others. */
const URGENT_MAX = 256;

export class ChecksumFindings {
  /** Blocks of trusted, and of other, extents that differed, ever. */
  damagedBlocks = 0;
  suspectBlocks = 0;
  /** Extents to compare soon, block by block. */
  readonly urgent: { store: ExtentStore; extentId: number }[] = [];
  /** Extents whose fdatasync failed and of which EXTENT_CLEAN does not say so yet. */
  readonly broken: { store: ExtentStore; extentId: number }[] = [];
  private readonly host: StoreHost;
  private readonly findings = new Map<ExtentStore, Map<number, Finding>>();
  private count = 0;
  /** Findings of which some blocks may not be listed. */
  private readonly vague = new WeakSet<Finding>();

  constructor(host: StoreHost) {
    this.host = host;
  }

  /** A block differs from its slot. Returns whether the extent is trusted: then the block may not be served. */
  mismatch(store: ExtentStore, row: number, block: number): boolean {
    const { table } = store;
    const extentId = table.ids[row]!;
    const trusted = table.has(row, EXTENT_FLAG.trusted) || isUnhealed(store, extentId, block);
    if (trusted) table.set(row, EXTENT_FLAG.damaged);
    const finding = this.entry(store, extentId, trusted ? 'damaged' : 'suspect');
    if (finding?.blocks.includes(block) === true) return trusted;
    if (trusted) this.damagedBlocks += 1;
    else this.suspectBlocks += 1;
    // What is not listed is not logged either: reads find it again and again.
    if (finding === null || finding.blocks.length === BLOCKS_LISTED) return trusted;
    finding.blocks.push(block);
    const text = trusted ? 'a block is not what its checksum says' : 'a block or its old checksum is wrong';
    const fields = { partition: store.partitionId, extent: extentId, block };
    this.host.log(trusted ? 'error' : 'warn', text, fields);
    return trusted;
  }

  /** The extent is to be compared as a whole, soon. */
  lookCloser(store: ExtentStore, extentId: number): void {
    const listed = this.urgent.some((each) => each.store === store && each.extentId === extentId);
    if (!listed && this.urgent.length < URGENT_MAX) this.urgent.push({ store, extentId });
  }

  /** An earlier process has found damage in this extent, or has not come to the end of healing some of its blocks. */
  known(store: ExtentStore, extentId: number): void {
    const finding = this.entry(store, extentId, 'damaged');
    if (finding === null) return;
    this.vague.add(finding);
    finding.blocks.push(...(store.unhealed.get(extentId) ?? []));
  }

  /** A block is what its slot says now, because the replicas have voted. */
  healed(store: ExtentStore, row: number, block: number): void {
    const extentId = store.table.ids[row]!;
    const finding = this.findings.get(store)?.get(extentId);
    if (finding === undefined) return;
    if (finding.blocks.length === BLOCKS_LISTED) this.vague.add(finding);
    finding.blocks = finding.blocks.filter((each) => each !== block);
    if (finding.blocks.length > 0) return;
    // There may be blocks that nobody has listed.
    if (this.vague.has(finding)) this.lookCloser(store, extentId);
    else this.cleared(store, row);
  }

  /** Findings of one partition from extent `from` on, by extent. */
  listOf(store: ExtentStore, from: number): Finding[] {
    this.forgetDeleted();
    const all = [...(this.findings.get(store)?.values() ?? [])];
    return all.filter(({ extentId }) => extentId >= from).sort((a, b) => a.extentId - b.extentId);
  }

  /** Every block of the extent was compared, and none differs. */
  cleared(store: ExtentStore, row: number): void {
    store.table.unset(row, EXTENT_FLAG.damaged);
    this.forget(store, store.table.ids[row]!);
  }

  private forget(store: ExtentStore, extentId: number): void {
    if (this.findings.get(store)?.delete(extentId) === true) this.count -= 1;
  }

  private forgetDeleted(): void {
    for (const [store, extents] of this.findings) {
      for (const extentId of extents.keys()) {
        const row = store.table.find(extentId);
        if (row === NONE || store.table.has(row, EXTENT_FLAG.deleted)) this.forget(store, extentId);
      }
    }
  }

  /** The store is out of service. */
  forgetStore(store: ExtentStore): void {
    this.count -= this.findings.get(store)?.size ?? 0;
    this.findings.delete(store);
    for (const list of [this.urgent, this.broken]) {
      for (let at = list.length - 1; at >= 0; at -= 1) if (list[at]!.store === store) list.splice(at, 1);
    }
  }

  /** What was found, by partition and extent. */
  list(): Finding[] {
    this.forgetDeleted();
    const all = [...this.findings.values()].flatMap((extents) => [...extents.values()]);
    return all.sort((a, b) => a.partitionId - b.partitionId || a.extentId - b.extentId);
  }

  private entry(store: ExtentStore, extentId: number, kind: Finding['kind']): Finding | null {
    let extents = this.findings.get(store);
    if (extents === undefined) {
      extents = new Map();
      this.findings.set(store, extents);
    }
    const present = extents.get(extentId);
    if (present !== undefined) {
      present.kind = kind;
      return present;
    }
    if (store.table.find(extentId) === NONE || this.count >= FINDINGS_LISTED) return null;
    const { partitionId } = store;
    const finding: Finding = { partitionId, extentId, kind, blocks: [], foundMs: this.host.clock.nowMs() };
    extents.set(extentId, finding);
    this.count += 1;
    return finding;
  }
}

function isUnhealed({ unhealed }: ExtentStore, extentId: number, block: number): boolean {
  return unhealed.get(extentId)?.includes(block) === true;
}
