/**
 * The enumeration of crash images: complete where it is small, within the fault model always.
 */
import t from 'tap';
import { CrashMoment, crashImages, imageHash, wholeImage } from './crashImages.js';
import { Random } from './random.js';
import { SimDisk } from './simDisk.js';

const O_CREATE = 0o102;
const bytes = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value);
const sector = (value: number): string => `0${value}`.repeat(512);

function disk(): SimDisk {
  return new SimDisk({ regions: [], batchCapacity: 8 });
}

/** Contents of `/f` in all images, `null` where it is missing. */
function contents(sim: SimDisk, limit = 10_000): string[] {
  const found = new Set<string>();
  for (const image of crashImages(sim.rootFolder, limit, new Random(1), new Set())) {
    const next = sim.withRoot(image, 1);
    found.add(next.node('/f') === undefined ? 'null' : Buffer.from(next.content('/f')).toString('hex'));
  }
  return [...found].sort();
}

t.test('unsynced data, length and entry are lost or kept, each for itself', async (t) => {
  const sim = disk();
  const fd = sim.open('/f', O_CREATE, 0);
  sim.write(fd, bytes(2, 7), 0);
  t.same(contents(sim), ['', '0000', '0707', 'null']);
  sim.fsyncFolder('/');
  t.same(contents(sim), ['', '0000', '0707']);
  sim.fdatasync(fd);
  t.same(contents(sim), ['0707']);
});

t.test('a page tears at every sector', async (t) => {
  const sim = disk();
  const fd = sim.open('/f', O_CREATE, 0);
  sim.write(fd, bytes(1024, 1), 0);
  sim.fdatasync(fd);
  sim.fsyncFolder('/');
  sim.write(fd, bytes(1024, 2), 0);
  const mixes = [1, 2].flatMap((a) => [1, 2].map((b) => sector(a) + sector(b)));
  t.same(contents(sim), mixes.sort());
});

t.test('a page may hold what it had between two syncs, but nothing older than the last one', async (t) => {
  const sim = disk();
  const fd = sim.open('/f', O_CREATE, 0);
  sim.fsyncFolder('/');
  sim.write(fd, bytes(1, 1), 0);
  sim.fdatasync(fd);
  sim.write(fd, bytes(1, 2), 0);
  sim.write(fd, bytes(1, 3), 0);
  t.same(contents(sim), ['01', '02', '03']);
  sim.submitFdatasync(fd, () => undefined);
  sim.write(fd, bytes(1, 4), 0);
  sim.step();
  t.same(contents(sim), ['03', '04']);
});

t.test('files and ranges come out in any order', async (t) => {
  const sim = disk();
  const fds = ['/a', '/b'].map((name) => sim.open(name, O_CREATE, 0));
  for (const fd of fds) sim.write(fd, bytes(8192, 1), 0);
  for (const fd of fds) sim.fdatasync(fd);
  sim.fsyncFolder('/');
  for (const fd of fds) sim.write(fd, bytes(512, 2), 0);
  for (const fd of fds) sim.write(fd, bytes(512, 2), 4096);
  const seen = new Set<string>();
  t.equal([...crashImages(sim.rootFolder, 100, new Random(1), seen)].length, 16);
  t.equal(seen.size, 16);
  t.equal([...crashImages(sim.rootFolder, 100, new Random(1), seen)].length, 0, 'none is given twice');
});

t.test('too many combinations are sampled: the ends first, and the same for the same seed', async (t) => {
  const sim = disk();
  for (let i = 0; i < 40; i += 1) sim.open(`/${i}`, O_CREATE, 0);
  t.equal(new CrashMoment(sim.rootFolder).combinations, 2 ** 40);
  const hashes = (seed: number): string[] => {
    const seen = new Set<string>();
    t.ok([...crashImages(sim.rootFolder, 100, new Random(seed), seen)].length <= 100);
    return [...seen];
  };
  t.same(hashes(3), hashes(3));
  t.notSame(hashes(3), hashes(4));
  t.ok(hashes(3).includes(imageHash(wholeImage(sim.rootFolder))));
});

t.test('an image is another disk: neither changes the other', async (t) => {
  const sim = disk();
  const fd = sim.open('/f', O_CREATE, 0);
  sim.write(fd, bytes(3, 1), 0);
  const next = sim.withRoot(wholeImage(sim.rootFolder), 1);
  next.write(next.open('/f', 2, 0), bytes(1, 9), 0);
  t.same([...sim.content('/f')], [1, 1, 1]);
  t.same([...next.content('/f')], [9, 1, 1]);
  t.same(contents(next).length, 2, 'what it was made with is durable');
});
