/** Books of what followers hold up: against the rule written down plainly, and what it leaves to others. */
import fc from 'fast-check';
import t from 'tap';
import { FollowerShare } from '../../src/server/followerShare.js';
import { WORK, WorkerPort } from '../../src/server/workerPort.js';
import { createDoorbell } from '../../src/shm/doorbell.js';
import { createRing } from '../../src/shm/ring.js';
import { createSlab, Slab } from '../../src/shm/slab.js';
import { SLOT_KIND } from '../../src/shm/slabShare.js';

/** Half of each is for primary work. */
interface Budgets {
  slots: number;
  quotaSlots: number;
  requests: number;
}

/** The budgets of one disk with one worker, and what is held of them. */
class Books {
  readonly slab: Slab;
  readonly port: WorkerPort;
  readonly held: { share: FollowerShare; slot: number }[] = [];

  constructor({ slots, quotaSlots, requests }: Budgets) {
    this.slab = new Slab(createSlab({ classes: [{ bytes: 4096, slots }] }));
    this.slab.setDiskQuota(0, quotaSlots * 4096);
    const rings = { requests: createRing(256), replies: createRing(256), requestsMax: requests };
    this.port = new WorkerPort(0, 0, '/disk0', rings, createDoorbell(), () => {});
  }

  /** Takes a packet for `share`; false: there is no room, or it holds its share. */
  take(share: FollowerShare): boolean {
    const { slab, port } = this;
    if (!port.admits(WORK.primary)) return false;
    const slot = slab.acquire(4096, 0, SLOT_KIND.primary);
    if (slot < 0) return false;
    if (!share.admits(slab, slot, port)) {
      slab.release(slot);
      return false;
    }
    port.admit(WORK.primary);
    share.hold(slab, slot, port);
    this.held.push({ share, slot });
    return true;
  }

  /** Gives a packet back; whether somebody is to try again. */
  give(index: number): boolean {
    const [{ share, slot } = { share: new FollowerShare(), slot: -1 }] = this.held.splice(index, 1);
    const again = share.giveBack(this.slab, slot, this.port);
    this.slab.release(slot);
    this.port.settle(WORK.primary);
    return again;
  }

  heldBy(share: FollowerShare): number {
    return this.held.filter((one) => one.share === share).length;
  }
}

const budgets = fc.record({
  slots: fc.integer({ min: 4, max: 100 }),
  quotaSlots: fc.integer({ min: 4, max: 100 }),
  requests: fc.integer({ min: 2, max: 64 }).map((half) => half * 2),
});
/** What primary work may have: the smallest of the three. */
const partOf = ({ slots, quotaSlots, requests }: Budgets) =>
  Math.floor(Math.min(slots, quotaSlots, requests) / 2);

t.test('a follower holds at most twice what is free, a single packet always', async (t) => {
  const steps = fc.array(fc.tuple(fc.integer({ min: 0, max: 3 }), fc.boolean()), { maxLength: 300 });
  fc.assert(
    fc.property(budgets, steps, (limits, list) => {
      const books = new Books(limits);
      const shares = [0, 1, 2, 3].map(() => new FollowerShare());
      for (const [which, gives] of list) {
        if (gives && books.held.length > 0) {
          books.give(which % books.held.length);
          continue;
        }
        const share = shares[which]!;
        const before = books.heldBy(share);
        const freeBehind = partOf(limits) - books.held.length - 1;
        const expected = freeBehind >= 0 && (before === 0 || withinAll(limits, books.held.length, before));
        if (books.take(share) !== expected) return false;
      }
      return true;
    }),
  );
  t.pass('equal to the rule');
});

/** One more packet of an address that holds `before`, where all hold `held`: within each budget. */
function withinAll({ slots, quotaSlots, requests }: Budgets, held: number, before: number): boolean {
  return [slots, quotaSlots, requests].every((limit) => before + 1 <= 2 * (limit / 2 - held - 1));
}

t.test(
  'each follower that hangs leaves a third of what it has found, in whatever order they come',
  async (t) => {
    const half = fc.integer({ min: 54, max: 64 });
    const large = fc
      .record({ slots: half, quotaSlots: half, requests: half })
      .map(({ slots, quotaSlots, requests }) => ({
        slots: slots * 2,
        quotaSlots: quotaSlots * 2,
        requests: requests * 2,
      }));
    const order = fc.infiniteStream(fc.nat());
    fc.assert(
      fc.property(large, fc.integer({ min: 1, max: 3 }), order, (limits, hanging, picks) => {
        const books = new Books(limits);
        const open = Array.from({ length: hanging }, () => new FollowerShare());
        while (open.length > 0) {
          const at = picks.next().value! % open.length;
          if (!books.take(open[at]!)) open.splice(at, 1);
        }
        const free = partOf(limits) - books.held.length;
        return free >= Math.floor(partOf(limits) / 3 ** hanging) && books.take(new FollowerShare());
      }),
    );
    t.pass('and another finds room');
  },
);

t.test('one that hangs alone comes to two thirds', async (t) => {
  const books = new Books({ slots: 64, quotaSlots: 100, requests: 128 });
  const share = new FollowerShare();
  while (books.take(share));
  t.equal(books.heldBy(share), 21, 'of 32');
});

t.test('whoever was refused hears of what is given back, once', async (t) => {
  const books = new Books({ slots: 64, quotaSlots: 100, requests: 128 });
  const share = new FollowerShare();
  t.ok(books.take(share));
  t.ok(books.take(share));
  t.equal(books.give(0), false, 'nobody was refused');
  while (books.take(share));
  t.equal(books.give(0), true);
  t.equal(books.give(0), false);
  while (books.held.length > 0) books.give(0);
  t.throws(() => share.giveBack(books.slab, 0, books.port), /only what is held/);
});
