/**
 * A partition with a group's state machine on a simulated disk: commands go in as committed entries, ends come out.
 */
import assert from 'node:assert';
import { crc32 } from 'node:zlib';
import { RaftApply } from '../../src/partition/raftApply.js';
import type { StoreSettings } from '../../src/partition/storeHost.js';
import { OP } from '../../src/protocol/opcodes.js';
import { ENTRY_TYPE } from '../../src/protocol/raftStructs.js';
import { marshalRandWriteRaftLog } from '../../src/protocol/randWrite.js';
import type { ApplyOutcome } from '../../src/raft/types.js';
import type { SimDisk } from '../sim/simDisk.js';
import { ROOT, SimRig } from './simRig.js';
import { pattern } from './storeRig.js';

/** The node of `NEW_PARTITION`. */
export const NODE_ID = 2;

/** A random write as its entry's data. */
export interface Write {
  extentId: number;
  at: number;
  body: Uint8Array;
  sync?: boolean;
  crc?: number;
}

/** The data of an entry. */
export function commandOf({ extentId, at, body, sync = false, crc = crc32(body) }: Write): Uint8Array {
  const opcode = sync ? OP.syncRandomWrite : OP.randomWrite;
  return marshalRandWriteRaftLog(opcode, extentId, at, body, crc);
}

export class ApplyRig {
  rig: SimRig;
  apply: RaftApply;
  /** Folder of the partition. */
  readonly path: string;
  /** Outcomes, in the order in which they were told. */
  readonly ends: { index: number; outcome: ApplyOutcome }[] = [];
  readonly members: string[] = [];
  /** What an operator was told. */
  readonly alarms: string[] = [];

  /** On a rig with partition 7 loaded. */
  constructor(rig: SimRig) {
    this.rig = rig;
    this.path = this.partition.path;
    const opened = RaftApply.open(rig.stores, rig.partitions.get(7)!, NODE_ID, {
      changed: () => this.members.push('changed'),
      removedHere: () => this.members.push('removed here'),
      halted: (alarm) => this.alarms.push(alarm),
    });
    assert(opened.ok, opened.ok ? '' : opened.message);
    this.apply = opened.value;
  }

  /** With extents from 1025 on, of these sizes, synced. */
  static start(
    sizes: readonly number[],
    settings: Partial<StoreSettings> = {},
    rig = SimRig.start(settings),
  ): ApplyRig {
    rig.create(ROOT);
    for (const [number, bytes] of sizes.entries()) {
      const created = rig.sendCreate();
      rig.run();
      for (let at = 0; at < bytes; at += 131_072) {
        const piece = pattern(bytes, 100 + number).subarray(at, at + 131_072);
        rig.sendSyncWrite(created.extentId, at, piece);
        rig.run();
      }
    }
    return new ApplyRig(rig);
  }

  get partition(): NonNullable<ReturnType<SimRig['partitions']['get']>> {
    return this.rig.partitions.get(7)!;
  }

  /** The next entry: data of a command, or nothing. */
  entry(data: Uint8Array, type: number = ENTRY_TYPE.normal, index = this.nextIndex): number {
    this.nextIndex = index + 1;
    this.apply.apply({ type, term: 1, index, data }, (outcome) => this.ends.push({ index, outcome }));
    return index;
  }

  private nextIndexValue = 0;
  private get nextIndex(): number {
    return Math.max(this.nextIndexValue, this.apply.appliedIndex + 1);
  }
  private set nextIndex(value: number) {
    this.nextIndexValue = value;
  }

  write(write: Write): number {
    return this.entry(commandOf(write));
  }

  /** Everything to its end. */
  run(): void {
    this.rig.run();
  }

  /** So many seconds pass, a tick each. */
  pass(seconds: number): void {
    for (let second = 0; second < seconds; second += 1) {
      this.rig.simClock.advance(1000);
      this.rig.stores.tick();
      this.run();
    }
  }

  outcomeOf(index: number): ApplyOutcome | undefined {
    return this.ends.find((end) => end.index === index)?.outcome;
  }

  content(extentId: number): Uint8Array {
    return this.rig.sim.content(`${this.path}/${extentId}`);
  }

  file(name: string): string {
    return Buffer.from(this.rig.sim.content(`${this.path}/${name}`)).toString();
  }

  has(name: string): boolean {
    return this.rig.sim.node(`${this.path}/${name}`) !== undefined;
  }

  /** The next process, over what `disk` holds; nothing is replayed yet. */
  next(disk: SimDisk): ApplyRig {
    return new ApplyRig(this.rig.next(disk));
  }
}
