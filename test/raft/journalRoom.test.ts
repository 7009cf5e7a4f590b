/** The journal of a worker on a disk that has no room: for what it writes over, and for another segment. */
import t from 'tap';
import { append, framesOn, JournalRig, joined } from './journalRig.js';

for (const [what, call, errno] of [
  ['pwrite', 'pwrite', 28],
  ['fdatasync', 'fdatasync', 28],
  ['quota', 'pwrite', 122],
] as const) {
  t.test(`no room for a frame (${what}): it is written again in its place, once a tick`, async (t) => {
    const rig = new JournalRig();
    const journal = joined(rig, 1);
    append(journal, 1, 1, 1);
    rig.run();
    rig.disk.addFault({ call, path: /segment/, errno, count: 3 });
    append(journal, 1, 2, 1);
    const ticked = (): void => {
      journal.flush();
      rig.settle();
      journal.tick();
      rig.settle();
    };
    journal.flush();
    rig.settle();
    t.equal(journal.hasRoom, false, 'entries have to wait');
    append(journal, 1, 3, 1);
    for (let turns = 0; turns < 10; turns += 1) {
      journal.flush();
      rig.settle();
    }
    t.same([rig.durable, rig.failures], [[1], []], 'turns do not try');
    for (let ticks = 0; ticks < 2; ticks += 1) ticked();
    t.same([rig.durable, journal.hasRoom], [[1], false]);
    ticked();
    rig.run();
    t.same([rig.durable, rig.failures, journal.hasRoom], [[1, 2, 3], [], true]);
    t.equal(rig.lines.length, 2, 'told once, and that it is over');
    t.match(rig.lines, [/^warn .*tried again until there is room/, /^info .*there is room again/]);
    journal.close();
    t.equal(rig.disk.openFds(), 0);
    t.same(
      framesOn(rig.disk.processEnd(2)).map(({ number }) => number),
      [1, 2, 3],
      'and nothing else is on the disk',
    );
  });
}

t.test('a journal that waits for room can be closed, and then tries nothing', async (t) => {
  const rig = new JournalRig();
  const journal = joined(rig, 1);
  rig.disk.addFault({ call: 'pwrite', path: /segment/, errno: 28, count: 1 });
  append(journal, 1, 1, 1);
  rig.run();
  journal.close();
  t.equal(rig.disk.openFds(), 0);
  journal.tick();
  t.equal(rig.disk.pending(), 0);
});

t.test('no space for another segment: proposals wait, and it is tried again', async (t) => {
  const rig = new JournalRig();
  const journal = joined(rig, 1);
  rig.disk.freeBytes = 0;
  append(journal, 1, 1, 4, 4096);
  rig.run();
  append(journal, 1, 5, 4, 4096);
  rig.run();
  journal.flush();
  rig.settle();
  t.equal(journal.hasRoom, false);
  t.match(rig.lines, [/segment.1: no space left on device/]);
  journal.flush();
  rig.settle();
  t.equal(rig.lines.length, 1, 'told once');
  rig.disk.freeBytes = Number.POSITIVE_INFINITY;
  journal.flush();
  rig.settle();
  t.equal(journal.hasRoom, true);
  t.same(rig.failures, []);
});
