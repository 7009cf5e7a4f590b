/**
 * A disk that fills up (pains.md 8): refused before it is full where the numbers allow, and when it is full all the same, no hole is left, nothing acknowledged is
 * lost, and writing goes on where it ended once there is room.
 */
import t from 'tap';
import { FreeSpace } from '../../src/partition/diskSpace.js';
import { ROOT, run, SimRig } from './simRig.js';
import { pattern, type Sent } from './storeRig.js';

const EXTENT = `${ROOT}/datapartition_7_1073741824/1025`;
const REFUSED = 'ActionWrite:_no space left on the device';
const PIECE = 4096;

/** A rig with extent 1025 and so many bytes above the reserve. */
function withRoom(availableBytes: number): SimRig {
  const rig = SimRig.start();
  rig.create(ROOT);
  rig.sendCreate();
  rig.run();
  rig.health.space.beginLook();
  rig.health.space.endLook(availableBytes);
  return rig;
}

/** Pipelined appends in one batch, piece after piece from `first` on. */
function appends(rig: SimRig, first: number, count: number): Sent[] {
  const sent = Array.from({ length: count }, (_, i) =>
    rig.sendWrite(1025, (first + i) * PIECE, pattern(PIECE, first + i)),
  );
  rig.run();
  return sent;
}

t.test(
  'what was accepted since the last look counts: a burst is refused before the disk is full',
  async (t) => {
    const rig = withRoom(3 * PIECE);
    const sent = appends(rig, 0, 5);
    t.same(
      sent.map(({ ok, error }) => (ok ? 'ok' : error)),
      ['ok', 'ok', 'ok', REFUSED, REFUSED],
    );
    t.equal(run(rig, rig.sendCreate()).error, 'ActionCreateExtent:_no space left on the device');
    t.ok(run(rig, rig.sendRead(1025, 0, 3 * PIECE)).ok, 'reads go on');
    rig.health.space.beginLook();
    rig.health.space.endLook(10 * PIECE);
    t.ok(run(rig, rig.sendWrite(1025, 3 * PIECE, pattern(PIECE, 3))).ok, 'the next look finds room');
  },
);

t.test('a rewrite takes no room', async (t) => {
  const rig = withRoom(2 * PIECE);
  appends(rig, 0, 1);
  for (let i = 0; i < 5; i += 1) t.ok(run(rig, rig.sendWrite(1025, 0, pattern(PIECE, 10 + i))).ok);
  t.equal(rig.health.space.leftBytes, PIECE);
});

for (const threaded of [false, true]) {
  const where = threaded ? 'on an I/O thread' : 'inline';
  t.test(
    `a disk that is full in the middle of a batch leaves no hole and loses nothing acknowledged (batches ${where})`,
    async (t) => {
      for (const room of [0, 1, 700, PIECE, 3 * PIECE, 3 * PIECE + 1]) {
        const rig = withRoom(Number.POSITIVE_INFINITY);
        rig.threaded = threaded;
        rig.sim.freeBytes = room;
        const sent = appends(rig, 0, 6);
        const acknowledged = sent.filter(({ ok }) => ok).length;
        t.equal(acknowledged, Math.floor(room / PIECE), `room for ${room} bytes`);
        t.ok(
          sent.slice(acknowledged).every(({ error }) => error.startsWith('ActionWrite:_write ')),
          'those behind are told',
        );
        t.equal(rig.sim.content(EXTENT).length, room, 'no byte beyond what the disk took');
        t.same(rig.diskErrors, [], 'a full disk is no failing disk');
        rig.sim.freeBytes = Number.POSITIVE_INFINITY;
        rig.health.space.endLook(Number.POSITIVE_INFINITY);
        t.ok(
          appends(rig, acknowledged, 6 - acknowledged).every(({ ok }) => ok),
          'it goes on where it ended',
        );
        t.ok(run(rig, rig.sendSyncWrite(1025, 6 * PIECE, pattern(PIECE, 6))).ok);
        const bytes = rig.sim.powerLoss(1).content(EXTENT);
        const expected = Buffer.concat(Array.from({ length: 7 }, (_, i) => pattern(PIECE, i)));
        t.same(Buffer.from(bytes), expected);
      }
    },
  );
}

t.test('after the disk has said that it is full, writes are refused until the next look', async (t) => {
  const rig = withRoom(Number.POSITIVE_INFINITY);
  rig.sim.freeBytes = 0;
  t.match(run(rig, rig.sendWrite(1025, 0, pattern(PIECE, 0))).error, /no space left on device$/);
  const from = rig.sim.trace.length;
  t.equal(run(rig, rig.sendWrite(1025, 0, pattern(PIECE, 0))).error, REFUSED);
  t.equal(rig.sim.trace.length, from, 'the disk is not asked');
});

t.test('free space: less what came since the look began, not what it knew', async (t) => {
  const space = new FreeSpace();
  space.accept(1_000);
  t.notOk(space.isExhausted, 'without bound before the first look');
  space.beginLook();
  space.accept(30);
  space.endLook(100);
  t.equal(space.leftBytes, 70);
  space.accept(69);
  t.notOk(space.isExhausted);
  space.accept(1);
  t.ok(space.isExhausted);
  space.beginLook();
  space.exhaust();
  space.endLook(50);
  t.equal(space.leftBytes, 50, 'room again');
});
