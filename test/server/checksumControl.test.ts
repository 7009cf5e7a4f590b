/** What main asks workers about checksums: all in time, one that says no, one that never answers. */
import t from 'tap';
import { COMMAND, type CommandAnswer } from '../../src/partition/messages.js';
import { ChecksumControl } from '../../src/server/checksumControl.js';
import type { DiskState } from '../../src/server/nodeState.js';

/** Workers that answer with `answers`; what they were asked stands in `asked`. */
function disk(path: string, answers: (CommandAnswer | 'never')[], asked: unknown[] = []): DiskState {
  const handles = answers.map((answer, member) => ({
    ask(kind: number, value: unknown): Promise<CommandAnswer> {
      asked.push([path, member, kind, value]);
      return answer === 'never' ? new Promise(() => undefined) : Promise.resolve(answer);
    },
  }));
  return { path, handles } as unknown as DiskState;
}

const FINE: CommandAnswer = { ok: true, value: { damagedBlocks: 1 } };

t.test('the reports of all workers, by disk; who does not answer is named and holds up nobody', async (t) => {
  const disks = [disk('/a', [FINE, { ok: false, message: 'it died' }]), disk('/b', ['never'])];
  const control = new ChecksumControl(disks, 20);
  t.same(await control.view(), [
    { path: '/a', workers: [{ damagedBlocks: 1 }, { error: 'it died' }] },
    { path: '/b', workers: [{ error: 'the disk does not answer' }] },
  ]);
});

t.test('a scrub begins on the disk that is named, or on all', async (t) => {
  const asked: unknown[] = [];
  const control = new ChecksumControl([disk('/a', [FINE], asked), disk('/b', [FINE], asked)]);
  t.same(await control.scrub('/b'), { ok: true, value: [{ path: '/b', workers: [{ damagedBlocks: 1 }] }] });
  t.same(asked.splice(0), [['/b', 0, COMMAND.checksums, { scrub: true }]]);
  t.match(await control.scrub('0'), { ok: true, value: [{ path: '/a' }] });
  t.same(asked.splice(0), [['/a', 0, COMMAND.checksums, { scrub: true }]]);
  t.match(await control.scrub(''), { ok: true, value: [{ path: '/a' }, { path: '/b' }] });
  asked.splice(0);
  t.same(await control.scrub('/c'), { ok: false, message: 'disk: there is no disk "/c"', httpStatus: 400 });
  await control.view();
  t.same(asked, [
    ['/a', 0, COMMAND.checksums, { scrub: false }],
    ['/b', 0, COMMAND.checksums, { scrub: false }],
  ]);
});

t.test('the workers of a disk share other paces, and each has the whole interval', async (t) => {
  const asked: unknown[] = [];
  const disks = [disk('/a', [FINE, FINE], asked), disk('/b', [FINE], asked)];
  const paces = { checksumBytesPerSecond: 1_000, scrubBytesPerSecond: 500, scrubIntervalMs: 7_200_000 };
  new ChecksumControl(disks).setPaces(paces);
  const half = { checksumBytesPerSecond: 500, scrubBytesPerSecond: 250, scrubIntervalMs: 7_200_000 };
  t.same(asked, [
    ['/a', 0, COMMAND.setPaces, half],
    ['/a', 1, COMMAND.setPaces, half],
    ['/b', 0, COMMAND.setPaces, paces],
  ]);
});
