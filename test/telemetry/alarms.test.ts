/**
 * Alarms: where they go, in which words, and how often.
 */
import t from 'tap';
import { DiskAlarms } from '../../src/server/diskAlarms.js';
import { ALARM_RATE, type Alarm, Alarms } from '../../src/telemetry/alarms.js';

function rig(): {
  alarms: Alarms;
  lines: [Record<string, unknown>, string][];
  sunk: Alarm[];
  clock: { nowMs: number };
} {
  const lines: [Record<string, unknown>, string][] = [];
  const sunk: Alarm[] = [];
  const clock = { nowMs: 0 };
  const log = { error: (fields: Record<string, unknown>, text: string) => void lines.push([fields, text]) };
  const alarms = new Alarms(log as never, [(alarm) => void sunk.push(alarm)], () => clock.nowMs);
  return { alarms, lines, sunk, clock };
}

t.test('an alarm is an error line, goes to each sink with the cluster in its key, and counts', async (t) => {
  const { alarms, lines, sunk } = rig();
  alarms.raise('before the registration');
  alarms.identify('a-b.c d,e', '10.0.0.1');
  alarms.raise('x', { disk: '/d' });
  t.strictSame(lines[1], [{ disk: '/d', alarm: true }, 'x']);
  t.equal(sunk[0]!.key, '_dataNode_warning');
  t.strictSame(sunk[1], { key: 'a_b_c_d_e_dataNode_warning', text: 'x', fields: { disk: '/d' } });
  t.equal(alarms.count, 2);
});

t.test(
  'pains 19: a disk that flaps raises a few alarms in an interval; the rest is counted and summed up',
  async (t) => {
    const { alarms, sunk, clock } = rig();
    for (let index = 0; index < 1_000; index += 1) alarms.raise('flaps', {}, 'disk');
    t.equal(sunk.length, ALARM_RATE.messagesMax);
    t.equal(alarms.count, 1_000, 'the metrics show them all');
    t.equal(alarms.suppressed, 1_000 - ALARM_RATE.messagesMax);
    clock.nowMs += ALARM_RATE.intervalMs;
    alarms.tick();
    t.match(sunk.at(-1), { text: `suppressed ${1_000 - ALARM_RATE.messagesMax} more alarms: flaps` });
    alarms.raise('flaps', {}, 'disk');
    t.equal(sunk.at(-1)!.text, 'flaps', 'a new interval');
    t.equal(alarms.count, 1_001, 'a summary is no alarm');
  },
);

t.test('many bad partitions do not hide a bad disk', async (t) => {
  const { alarms, sunk } = rig();
  for (let id = 0; id < 5_000; id += 1) alarms.partition(id, 'bad', {});
  const most = ALARM_RATE.keysMax + ALARM_RATE.messagesMax;
  t.equal(sunk.length, most);
  alarms.disk('/d', '', {});
  t.equal(sunk.length, most + 1);
});

t.test('disks and partitions, in the words of the reference', async (t) => {
  const { alarms, sunk } = rig();
  alarms.identify('c', '10.0.0.1');
  const disks = new DiskAlarms(alarms);
  const errors = { readErrors: 1, writeErrors: 2 };
  disks.look('/d', 2, errors);
  t.equal(sunk.length, 0, 'a disk that is well');
  disks.look('/d', -1, errors);
  disks.look('/d', -1, errors);
  disks.outOfService('/d', 'worker died');
  disks.silent('/d', 7);
  disks.hangs('/d', { probeMs: 1, loopSilentMs: 2 });
  disks.partitionRefused('/d/datapartition_42_1073741824', 'no META');
  disks.partitionRefused('/d/odd', 'no META');
  t.strictSame(
    sunk.map(({ text, fields }) => [text, fields]),
    [
      ['disk path /d error on 10.0.0.1', errors],
      ['disk path /d error on 10.0.0.1: out of service until a restart', { reason: 'worker died' }],
      ['disk path /d error on 10.0.0.1: does not answer', { inFlight: 7 }],
      ['disk path /d error on 10.0.0.1: hangs', { probeMs: 1, loopSilentMs: 2 }],
      [
        'action[RestorePartition] new partition(42) err(no META)',
        { folder: '/d/datapartition_42_1073741824' },
      ],
      ['action[RestorePartition] new partition(odd) err(no META)', { folder: '/d/odd' }],
    ],
  );
});
