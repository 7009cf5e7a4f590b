/**
 * A replica that lags behind in creates and appends, and catches up: what raft has committed meanwhile is fetched from the others, while entries go on.
 */
import t from 'tap';
import type { FetchTask } from '../../src/partition/missingFetch.js';
import { type FetchAnswer, MissingFetcher } from '../../src/partition/missingFetcher.js';
import { Random } from '../sim/random.js';
import { ApplyRig, type Write } from './applyRig.js';
import { pattern } from './storeRig.js';

const KiB = 1024;
const SIZES = [20 * KiB, 30 * KiB, 300 * KiB];
const EXTENTS = SIZES.map((_, number) => 1025 + number);

/** Three replicas of a partition; the last one has nothing at first. */
class Replicas {
  readonly whole = [ApplyRig.start(SIZES), ApplyRig.start(SIZES)];
  readonly late = ApplyRig.start([]);
  private readonly random: Random;
  /** Answers on their way: as old as the moment when they were asked for. */
  private readonly asked: { answer: FetchAnswer; done: (answer: FetchAnswer) => void }[] = [];
  private readonly fetcher: MissingFetcher;
  private entries = 0;
  /** Fetches that were answered with bytes, and tasks that were told to replicas that had not applied as much. */
  copied = 0;
  tooOld = 0;

  constructor(seed: number) {
    this.random = new Random(seed);
    const transport = {
      fetch: (task: FetchTask, done: (answer: FetchAnswer) => void) =>
        void this.asked.push({ answer: this.read(task), done }),
    };
    this.fetcher = new MissingFetcher(this.late.apply, transport, () =>
      this.whole.map(({ apply }, number) => ({ address: String(number), appliedIndex: apply.appliedIndex })),
    );
  }

  /** An entry, which the replicas carry out sooner or later. */
  commit(): void {
    this.entries += 1;
    const number = this.random.below(EXTENTS.length);
    const body = pattern(1 + this.random.below(9000), this.entries);
    const at = this.random.below(SIZES[number]! - body.length);
    const write: Write = { extentId: EXTENTS[number]!, at, body };
    for (const replica of [...this.whole, this.late]) replica.write(write);
    for (const replica of this.whole) if (this.random.chance(0.5)) replica.run();
    if (this.random.chance(0.7)) this.late.rig.turn();
  }

  /** Repair by size: the extent is made, or made longer, with what a whole replica has there now. */
  repair(extentId: number, share: number): void {
    const source = this.whole[0]!;
    source.run();
    const bytes = source.content(extentId);
    if (!this.late.has(String(extentId))) this.late.rig.sendCreate();
    this.late.run();
    const from = this.late.content(extentId).length;
    const to = Math.floor(bytes.length * share);
    for (let at = from; at < to; at += 128 * KiB) {
      this.late.rig.sendSyncWrite(extentId, at, bytes.subarray(at, Math.min(to, at + 128 * KiB)));
      this.late.run();
    }
  }

  /** Some fetches are answered, in any order; some fail. */
  answer(): void {
    for (let count = this.random.below(3); count > 0 && this.asked.length > 0; count -= 1) {
      const [{ answer, done }] = this.asked.splice(this.random.below(this.asked.length), 1) as [
        (typeof this.asked)[0],
      ];
      if (this.random.chance(0.2)) done({ kind: 'failed' });
      else done(answer);
    }
    if (this.random.chance(0.5)) this.fetcher.tick();
    this.late.rig.turn();
  }

  private read({ extentId, from, to, index, source }: FetchTask): FetchAnswer {
    const replica = this.whole[Number(source)]!;
    const { appliedIndex } = replica.apply;
    if (appliedIndex < index) this.tooOld += 1;
    const bytes = replica.content(extentId).slice(from, to);
    this.copied += 1;
    return bytes.length < to - from ? { kind: 'failed' } : { kind: 'bytes', bytes, appliedIndex };
  }

  settle(): void {
    for (const replica of this.whole) replica.run();
    for (let round = 0; round < 2000 && this.late.apply.missing.ranges.count > 0; round += 1) {
      this.fetcher.tick();
      this.answer();
      this.late.run();
    }
  }
}

t.test('what is missing is fetched while entries go on, and nothing newer is written over', async (t) => {
  let copied = 0;
  for (let seed = 1; seed <= 40; seed += 1) {
    const replicas = new Replicas(seed);
    const random = new Random(seed + 1000);
    for (let step = 0; step < 60; step += 1) {
      replicas.commit();
      replicas.answer();
      if (step % 12 === 7) replicas.repair(EXTENTS[Math.floor(step / 12) % 3]!, random.chance(0.5) ? 1 : 0.6);
    }
    for (const extentId of EXTENTS) replicas.repair(extentId, 1);
    replicas.settle();
    t.equal(replicas.late.apply.missing.ranges.count, 0, `seed ${seed}: nothing is missing in the end`);
    t.equal(replicas.tooOld, 0);
    copied += replicas.copied;
    const expected = replicas.whole[0]!;
    for (const extentId of EXTENTS) {
      const same = Buffer.compare(replicas.late.content(extentId), expected.content(extentId)) === 0;
      t.ok(same, `seed ${seed}: extent ${extentId} is equal`);
    }
  }
  t.ok(copied > 400, `${copied} pieces were copied`);
});
