/** The probe of a disk on the simulated one: what it does, how often, and what it tells. */
import t from 'tap';
import { DiskProbe, PROBE_FILE } from '../../src/partition/diskProbe.js';
import { ROOT, SimRig } from './simRig.js';

const INTERVAL_MS = 120_000;
const PATH = `${ROOT}/${PROBE_FILE}`;

/** A probe whose first time has come. */
function due(): { rig: SimRig; probe: DiskProbe } {
  const rig = SimRig.start();
  const probe = new DiskProbe(rig, ROOT, INTERVAL_MS);
  rig.simClock.advance(INTERVAL_MS);
  rig.sim.trace.length = 0;
  return { rig, probe };
}

function again(rig: SimRig, probe: DiskProbe): void {
  rig.simClock.advance(INTERVAL_MS);
  probe.tick();
  rig.run();
}

t.test('a probe writes the 11 bytes of its name, syncs them and reads them back', async (t) => {
  const { rig, probe } = due();
  probe.tick();
  rig.run();
  t.equal(Buffer.from(rig.sim.content(PATH)).toString(), '.diskStatus');
  t.match(rig.sim.trace, [`create ${PATH}`, `pwrite ${PATH} 0 11`, `fdatasync ${PATH}`]);
  t.same(rig.complaints, []);
  t.equal(probe.underWayMs, 0);
  t.equal(rig.sim.openFds(), 0);
});

t.test('one at a time, once an interval', async (t) => {
  const { rig, probe } = due();
  const writes = (): number => rig.sim.trace.filter((line) => line.startsWith('pwrite')).length;
  probe.tick();
  probe.tick();
  rig.run();
  rig.simClock.advance(INTERVAL_MS - 1);
  probe.tick();
  rig.run();
  t.equal(writes(), 1);
  rig.simClock.advance(1);
  probe.tick();
  rig.run();
  t.equal(writes(), 2);
});

for (const call of ['open', 'pwrite', 'fdatasync', 'pread'] as const) {
  t.test(
    `an I/O error of its ${call} is told as one of the disk, said once, and the next probe is made`,
    async (t) => {
      const { rig, probe } = due();
      rig.sim.addFault({ call, path: /diskStatus/, errno: 5, count: 2 });
      probe.tick();
      rig.run();
      again(rig, probe);
      t.same(rig.diskErrors, [5, 5]);
      t.same(rig.diskErrorsWriting, call === 'pread' ? [false, false] : [true, true]);
      t.match(rig.complaints, [/^disk probe failed: \w+ \/d\/\.diskStatus: input\/output error$/]);
      t.equal(rig.complaints.length, 1);
      again(rig, probe);
      t.match(rig.complaints, [/failed/, /succeeds again/]);
      t.equal(rig.sim.openFds(), 0);
    },
  );
}

t.test('a full disk is no disk error, but said', async (t) => {
  const { rig, probe } = due();
  rig.sim.addFault({ call: 'pwrite', path: /diskStatus/, errno: 28, count: 1 });
  probe.tick();
  rig.run();
  t.same(rig.diskErrors, []);
  t.match(rig.complaints, [/no space left/]);
});

t.test('a write or a read that is cut short is said', async (t) => {
  for (const call of ['pwrite', 'pread'] as const) {
    const { rig, probe } = due();
    rig.sim.addFault({ call, path: /diskStatus/, shortBytes: 4, count: 1 });
    probe.tick();
    rig.run();
    t.match(rig.complaints, [/not all bytes/], call);
    t.same(rig.diskErrors, []);
  }
});

t.test('a call that does not end shows as the time the probe has been under way', async (t) => {
  const { rig, probe } = due();
  rig.sim.addFault({ call: 'fdatasync', path: /diskStatus/, hang: true, count: 1 });
  probe.tick();
  for (let i = 0; i < 5; i += 1) {
    rig.sim.step();
    rig.turn();
  }
  rig.simClock.advance(45_000);
  t.equal(probe.underWayMs, 45_000);
  rig.simClock.advance(INTERVAL_MS);
  probe.tick();
  t.equal(rig.sim.trace.filter((line) => line.startsWith('pwrite')).length, 1, 'no second one behind it');
});
