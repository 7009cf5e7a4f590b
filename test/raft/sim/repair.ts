/**
 * What repair does for the replicas of a group, as far as raft leans on it: extents that are missing or too short are made, contents are compared after a snapshot, and
 * what is missing of committed writes is fetched. Plan and fills are the production's (`src/repair/missingPlan.ts`, `src/partition/missing*.ts`); the questions between nodes are asked here.
 *
 * A replica is asked for bytes only when it has applied enough, and answers only when nothing of them is missing there.
 */
import { viewExtent } from '../../../src/partition/applyDecision.js';
import type { RaftApply } from '../../../src/partition/raftApply.js';
import { ENTRY_TYPE } from '../../../src/protocol/raftStructs.js';
import type { FetchSource, FetchTask } from '../../../src/repair/missingPlan.js';
import { DirectFetcher, type FetchAnswer } from '../../partition/directFetcher.js';
import type { Sent } from '../../partition/storeRig.js';
import type { Cluster } from './cluster.js';
import type { ClusterNode } from './clusterNode.js';
import type { SimNode } from './simNode.js';
import { addressOf, EXTENT_BYTES, EXTENT_IDS } from './template.js';

const WAY_MS_MAX = 20;
/** A question that has no answer in this time has failed. */
const ANSWER_MS_MAX = 5000;

/** Repair of one life of a node. */
interface Work {
  fetcher: DirectFetcher;
  /** The extent that is being made or made longer. */
  making: Sent | null;
  comparing: boolean;
}

export class Repair {
  /** Pieces that were fetched. */
  fetched = 0;
  /** Comparisons after snapshots. */
  compared = 0;
  /** Chance in each round that a node makes an extent that it lacks. */
  makeShare = 0.3;
  private readonly cluster: Cluster;
  private readonly works = new WeakMap<RaftApply, Work>();

  constructor(cluster: Cluster) {
    this.cluster = cluster;
  }

  /** Nothing is left to do on this node, which serves. */
  static isWhole({ sim: { apply } }: ClusterNode): boolean {
    const { compareFrom, ranges } = apply.missing;
    return compareFrom === 0 && ranges.count === 0 && hasExtents(apply);
  }

  /** An extent takes no writes in this life. */
  static isBroken({ sim }: ClusterNode): boolean {
    return EXTENT_IDS.some((id) => viewExtent(sim.apply.store, id).state === 'broken');
  }

  /** About once a second for each node. */
  round(node: ClusterNode): void {
    if (!node.serves || Repair.isWhole(node)) return;
    node.act((sim) => {
      const work = this.workOf(node, sim);
      if (this.cluster.random.chance(this.makeShare)) this.makeExtent(sim, work);
      if (sim.apply.missing.compareFrom > 0 && !work.comparing) this.compare(node, sim.apply, work);
      work.fetcher.tick();
    });
  }

  private workOf(node: ClusterNode, { apply }: SimNode): Work {
    let work = this.works.get(apply);
    if (work === undefined) {
      const transport = {
        fetch: (task: FetchTask, done: (answer: FetchAnswer) => void) => this.fetch(node, task, done),
      };
      const fetcher = new DirectFetcher(apply, transport, () => this.sourcesFor(node));
      work = { fetcher, making: null, comparing: false };
      this.works.set(apply, work);
    }
    return work;
  }

  /** One step for the first extent that is not as long as it was made: its file, then the zeros that it had at first. */
  private makeExtent({ apply, rig }: SimNode, work: Work): void {
    if (work.making?.ended === false) return;
    for (const extentId of EXTENT_IDS) {
      const { state, sizeBytes } = viewExtent(apply.store, extentId);
      if (sizeBytes === EXTENT_BYTES) continue;
      work.making =
        state === 'unknown'
          ? rig.sendCreate({ extentId, remainingFollowers: 0 })
          : rig.sendSyncWrite(extentId, sizeBytes, new Uint8Array(EXTENT_BYTES - sizeBytes));
      return;
    }
  }

  /** All contents count as missing up to what a replica that has everything has applied, unless more may have been carried out here meanwhile. */
  private compare(node: ClusterNode, apply: RaftApply, work: Work): void {
    const { compareFrom } = apply.missing;
    const source = this.others(node).find(
      (other) =>
        other.serves &&
        Repair.isWhole(other) &&
        other.sim.apply.appliedIndex >= Math.max(compareFrom, handedOver(node)),
    );
    if (source === undefined || this.isCut(node, source)) return;
    const { appliedIndex } = source.sim.apply;
    work.comparing = true;
    this.way(() =>
      node.act(({ apply: now }) => {
        if (now !== apply) return;
        work.comparing = false;
        if (handedOver(node) > appliedIndex || apply.missing.compareFrom !== compareFrom) return;
        apply.missing.compareAll(
          EXTENT_IDS.map((extentId) => ({ extentId, sizeBytes: EXTENT_BYTES })),
          appliedIndex,
        );
        this.compared += 1;
        this.cluster.note(node, `compares with ${source.id} as of ${appliedIndex}`);
      }),
    );
  }

  private sourcesFor(node: ClusterNode): FetchSource[] {
    return [...this.cluster.members]
      .filter((id) => id !== node.id)
      .map((id) => {
        const other = this.cluster.nodes.get(id);
        const appliedIndex = other?.serves === true ? other.sim.apply.appliedIndex : 0;
        return { address: addressOf(id), appliedIndex };
      });
  }

  private fetch(node: ClusterNode, task: FetchTask, done: (answer: FetchAnswer) => void): void {
    const { apply } = node.sim;
    let open = true;
    const end = (answer: FetchAnswer): void =>
      node.act((sim) => {
        if (!open || sim.apply !== apply) return;
        open = false;
        const { extentId, from, to, source } = task;
        this.cluster.note(node, `asks ${source} for ${extentId} [${from}, ${to}): ${answer.kind}`);
        if (answer.kind === 'bytes') this.fetched += 1;
        done(answer);
      });
    this.cluster.events.after(ANSWER_MS_MAX, () => end({ kind: 'failed' }));
    const source = this.others(node).find(({ id }) => addressOf(id) === task.source);
    if (source === undefined) return;
    this.way(() => {
      if (this.isCut(node, source)) return;
      source.act((sim) => {
        const answer = answerOf(sim, task);
        this.way(() => end(answer));
      });
    });
  }

  private others(node: ClusterNode): ClusterNode[] {
    return this.cluster.memberNodes.filter((other) => other !== node);
  }

  private isCut(node: ClusterNode, other: ClusterNode): boolean {
    const { network } = this.cluster;
    return network.isCut(node.id, other.id) || network.isCut(other.id, node.id);
  }

  private way(then: () => void): void {
    this.cluster.events.after(1 + this.cluster.random.below(WAY_MS_MAX), then);
  }
}

/** Its log has a change of members that it does not know to be committed. */
function hasOpenChange({ sim }: ClusterNode): boolean {
  const log = sim.group?.core.log;
  if (log === undefined) return false;
  for (let index = log.handedOver + 1; index <= log.lastIndex; index += 1)
    if (log.inMemory(index)?.type === ENTRY_TYPE.configurationChange) return true;
  return false;
}

/** Those whose extents were seen in their full length: none becomes shorter. */
const full = new WeakSet<RaftApply>();

function hasExtents(apply: RaftApply): boolean {
  if (full.has(apply)) return true;
  if (EXTENT_IDS.some((id) => viewExtent(apply.store, id).sizeBytes !== EXTENT_BYTES)) return false;
  full.add(apply);
  return true;
}

/** Entries up to here may have been carried out, in whatever order. */
function handedOver({ sim }: ClusterNode): number {
  return sim.group!.core.log.handedOver;
}

/**
 * Whether all other members serve with all contents, have their vote, and know who the members are and will be. Only then may this one lose something: log or contents that are lost on
 * several replicas at a time are lost.
 */
export function othersAreWhole({ members, memberNodes }: Cluster, node: ClusterNode): boolean {
  const wanted = String([...members].sort((a, b) => a - b));
  const knows = ({ sim }: ClusterNode): boolean =>
    String(sim.group!.core.members().map(({ nodeId }) => nodeId)) === wanted;
  const isWhole = (other: ClusterNode): boolean =>
    other.serves && !other.damaged && knows(other) && Repair.isWhole(other);
  if (memberNodes.some(hasOpenChange)) return false;
  return memberNodes.length === members.size && memberNodes.every((each) => each === node || isWhole(each));
}

/** Whether nothing of these bytes is missing here, so that they may be given out. */
export function holds({ apply }: SimNode, extentId: number, from: number, to: number): boolean {
  const { missing, store } = apply;
  const { state, sizeBytes } = viewExtent(store, extentId);
  const overlaps = missing.ranges.of(extentId).some((range) => range.from < to && from < range.to);
  return state === 'there' && sizeBytes >= to && missing.compareFrom === 0 && !overlaps;
}

/** Bytes of an extent as the node's processes see them. */
export function bytesOf(
  { disk, partition }: SimNode,
  extentId: number,
  from: number,
  to: number,
): Uint8Array {
  const file = disk.node(partition.store.extentPath(extentId));
  const bytes = new Uint8Array(to - from);
  if (file?.kind === 'file') file.read(from, bytes);
  return bytes;
}

function answerOf(sim: SimNode, { extentId, from, to }: FetchTask): FetchAnswer {
  const { store, appliedIndex } = sim.apply;
  if (viewExtent(store, extentId).state === 'unknown') return { kind: 'unknown' };
  if (!holds(sim, extentId, from, to)) return { kind: 'failed' };
  return { kind: 'bytes', bytes: bytesOf(sim, extentId, from, to), appliedIndex };
}
