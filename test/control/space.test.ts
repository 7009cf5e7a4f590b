/** Disk choice, reported status and sums (`admin.md` 8), and the space formula against numbers recorded from the reference. */
import t from 'tap';
import { chooseDisk, reportedStatus, totalsOf } from '../../src/control/space.js';
import { spaceOf } from '../../src/partition/diskSpace.js';
import { diskOf } from './fakeView.js';

const GiB = 1024 ** 3;

t.test('a new partition goes to the disk with the smallest allocated share', async (t) => {
  const cases: [string, Parameters<typeof chooseDisk>[0], string | null][] = [
    ['no disks', [], null],
    ['equal shares: the first', [diskOf('/a'), diskOf('/b')], '/a'],
    [
      'share, not bytes',
      [
        diskOf('/a', { allocated: 10 * GiB, total: 50 * GiB }),
        diskOf('/b', { allocated: 20 * GiB, total: 400 * GiB }),
      ],
      '/b',
    ],
    [
      'exactly 5 GiB is too little',
      [diskOf('/a', { available: 5 * GiB }), diskOf('/b', { allocated: 99 * GiB })],
      '/b',
    ],
    ['one byte more is enough', [diskOf('/a', { available: 5 * GiB + 1 })], '/a'],
    ['read-only', [diskOf('/a', { status: 1 })], null],
    ['unavailable', [diskOf('/a', { status: -1 }), diskOf('/b')], '/b'],
    ['hanging', [diskOf('/a', { responsive: false }), diskOf('/b', { allocated: 1 })], '/b'],
    ['total 0 divides by nothing', [diskOf('/a', { total: 0 }), diskOf('/b', { allocated: 1 })], '/b'],
    ['over-allocated is allowed', [diskOf('/a', { allocated: 500 * GiB, unallocated: 0 })], '/a'],
  ];
  for (const [name, disks, expected] of cases) t.equal(chooseDisk(disks)?.path ?? null, expected, name);
});

t.test('partitions under creation count as allocated', async (t) => {
  const disks = [diskOf('/a'), diskOf('/b')];
  t.equal(chooseDisk(disks, (path) => (path === '/a' ? 120 * GiB : 0))?.path, '/b');
});

t.test('space numbers: recorded heartbeat of the reference', async (t) => {
  // 270553174016 bytes of file system, 83012001792 available.
  const { total, used, available } = spaceOf(66_053_021, 20_266_602, 4096);
  t.strictSame(
    { total, used, available },
    { total: 265_142_110_536, used: 187_541_172_224, available: 77_600_938_312 },
  );
});

t.test('space numbers: bounds of the reserve, small and full disks', async (t) => {
  t.equal(spaceOf(100, 100, GiB).reserved, 5 * GiB, '2 % would be less than 5 GiB');
  t.equal(spaceOf(1000, 100, GiB).reserved, 20 * GiB, '2 %');
  t.equal(spaceOf(10_000, 100, GiB).reserved, 30 * GiB, '2 % would be more than 30 GiB');
  t.strictSame(spaceOf(4, 4, GiB), { total: 0, available: 0, used: 0, reserved: 5 * GiB });
  t.strictSame(spaceOf(100, 3, GiB), { total: 95 * GiB, available: 0, used: 95 * GiB, reserved: 5 * GiB });
  t.strictSame(spaceOf(0, 0, 4096), { total: 0, available: 0, used: 0, reserved: 5 * GiB });
});

t.test('the worse of partition and disk is reported', async (t) => {
  t.equal(reportedStatus(2, 2), 2);
  t.equal(reportedStatus(2, 1), 1);
  t.equal(reportedStatus(1, 2), 1);
  t.equal(reportedStatus(2, -1), -1);
});

t.test('sums', async (t) => {
  const disks = [
    diskOf('/a', { total: 10, used: 4, available: 6, allocated: 3, unallocated: 7, partitionCount: 2 }),
    diskOf('/b', { total: 20, used: 1, available: 19, allocated: 0, unallocated: 20, partitionCount: 1 }),
  ];
  t.strictSame(totalsOf(disks), {
    total: 30,
    used: 5,
    available: 25,
    allocated: 3,
    unallocated: 27,
    partitionCount: 3,
    maxUnallocated: 20,
  });
  t.match(totalsOf([]), { total: 0, maxUnallocated: 0 });
});
