/**
 * The simulated disk keeps its fault model.
 */
import { crc32 } from 'node:zlib';
import t from 'tap';
import type { IoResult } from '../../src/storage/io.js';
import { SimDisk } from './simDisk.js';

const O_CREATE = 0o102;
const bytes = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value);

function disk(seed = 1): SimDisk {
  return new SimDisk({ regions: [new Uint8Array(65536)], seed, batchCapacity: 8 });
}

/** Contents of `/f` over many power losses; `null` where the file is gone. */
function outcomes(prepare: (sim: SimDisk) => void): Set<string> {
  const seen = new Set<string>();
  for (let seed = 0; seed < 300; seed += 1) {
    const sim = disk(seed);
    prepare(sim);
    const after = sim.powerLoss(seed);
    seen.add(after.node('/f') === undefined ? 'null' : Buffer.from(after.content('/f')).toString('hex'));
  }
  return seen;
}

t.test('nothing is durable before it is synced', async (t) => {
  const seen = outcomes((sim) => {
    const fd = sim.open('/f', O_CREATE, 0);
    sim.write(fd, bytes(2, 7), 0);
  });
  t.same([...seen].sort(), ['', '00', '0000', '07', '0707', 'null']);
});

t.test('a file needs its own sync and that of its folder', async (t) => {
  const seen = outcomes((sim) => {
    const fd = sim.open('/f', O_CREATE, 0);
    sim.write(fd, bytes(2, 7), 0);
    sim.fdatasync(fd);
  });
  t.same([...seen].sort(), ['0707', 'null']);
  const both = outcomes((sim) => {
    const fd = sim.open('/f', O_CREATE, 0);
    sim.write(fd, bytes(2, 7), 0);
    sim.fdatasync(fd);
    sim.fsyncFolder('/');
  });
  t.same([...both], ['0707']);
});

t.test('a submitted fdatasync covers what was written before it was submitted', async (t) => {
  const seen = outcomes((sim) => {
    const fd = sim.open('/f', O_CREATE, 0);
    sim.fsyncFolder('/');
    sim.write(fd, bytes(1, 7), 0);
    sim.submitFdatasync(fd, () => undefined);
    sim.write(fd, bytes(1, 8), 0);
    sim.step();
  });
  t.same([...seen].sort(), ['07', '08']);
});

t.test('a durable write makes its own pages durable, and no others', async (t) => {
  const ended: number[] = [];
  const pages = (prepare: (sim: SimDisk) => void): string[] => {
    const seen = outcomes((sim) => {
      const fd = sim.open('/f', O_CREATE, 0);
      sim.write(fd, bytes(4097, 7), 0);
      sim.fdatasync(fd);
      sim.fsyncFolder('/');
      sim.write(fd, bytes(1, 8), 0);
      prepare(sim);
      sim.submitPwrite(fd, 4096, 0, 0, 1, ({ result }) => ended.push(result), true);
      sim.step();
      sim.drainCompletions();
    });
    return [...new Set([...seen].map((hex) => hex.slice(0, 2) + hex.slice(-2)))].sort();
  };
  t.same(
    pages(() => undefined),
    ['0700', '0800'],
  );
  t.same(new Set(ended.splice(0)), new Set([1]));
  t.same(
    pages((sim) => sim.addFault({ call: 'fdatasync', path: /f/, errno: 5, count: 1 })),
    ['0700', '0707', '0800', '0807'],
  );
  t.same(new Set(ended.splice(0)), new Set([-5]));
  pages((sim) => sim.addFault({ call: 'fdatasync', path: /f/, hang: true, count: 1 }));
  t.same(ended, []);
});

t.test('pages tear by sectors', async (t) => {
  const seen = outcomes((sim) => {
    const fd = sim.open('/f', O_CREATE, 0);
    sim.write(fd, bytes(1024, 1), 0);
    sim.fdatasync(fd);
    sim.fsyncFolder('/');
    sim.write(fd, bytes(1024, 2), 0);
  });
  const sector = (value: number): string => `0${value}`.repeat(512);
  const mixes = [1, 2].flatMap((a) => [1, 2].map((b) => sector(a) + sector(b)));
  t.same([...seen].sort(), mixes.sort());
});

t.test('a failed fdatasync loses the dirty pages for later ones too', async (t) => {
  const seen = outcomes((sim) => {
    const fd = sim.open('/f', O_CREATE, 0);
    sim.fsyncFolder('/');
    sim.write(fd, bytes(1, 1), 0);
    sim.fdatasync(fd);
    sim.write(fd, bytes(1, 2), 0);
    sim.addFault({ call: 'fdatasync', path: /f/, errno: 5, count: 1 });
    t.equal(sim.fdatasync(fd), -5);
    t.equal(sim.fdatasync(fd), 0);
  });
  t.same([...seen].sort(), ['01', '02']);
});

t.test('a rename happens as a whole', async (t) => {
  const seen = outcomes((sim) => {
    for (const [name, value] of [
      ['/f', 1],
      ['/g', 2],
    ] as const) {
      const fd = sim.open(name, O_CREATE, 0);
      sim.write(fd, bytes(1, value), 0);
      sim.fdatasync(fd);
    }
    sim.fsyncFolder('/');
    sim.rename('/g', '/f');
  });
  t.same([...seen].sort(), ['01', '02']);
});

t.test('the end of the process keeps what was written, and frees locks', async (t) => {
  const sim = disk();
  const fd = sim.open('/f', O_CREATE, 0);
  sim.write(fd, bytes(3, 9), 0);
  t.equal(sim.lock(fd), 0);
  const other = sim.open('/f', 2, 0);
  t.equal(sim.lock(other), -11);
  const next = sim.processEnd(1);
  t.same([...next.content('/f')], [9, 9, 9]);
  t.equal(next.openFds(), 0);
  t.equal(next.lock(next.open('/f', 2, 0)), 0);
});

t.test('submitted work completes in an order of the seed, and can hang', async (t) => {
  const orders = new Set<string>();
  for (let seed = 0; seed < 30; seed += 1) {
    const sim = disk(seed);
    const order: string[] = [];
    for (const name of ['a', 'b', 'c']) sim.submitOpen(`/${name}`, O_CREATE, 0, () => order.push(name));
    while (sim.step()) sim.drainCompletions();
    orders.add(order.join(''));
  }
  t.equal(orders.size, 6);
  const sim = disk();
  sim.addFault({ call: 'open', path: /a/, hang: true, count: 1 });
  sim.submitOpen('/a', O_CREATE, 0, () => t.fail('completes'));
  t.notOk(sim.step());
  t.equal(sim.pending(), 1);
});

t.test('batches: links, short transfers, checksums, cold reads', async (t) => {
  const region = new Uint8Array(65536).fill(5);
  const rig = new SimDisk({ regions: [region], batchCapacity: 8 });
  const fd = rig.open('/f', O_CREATE, 0);
  rig.addFault({ call: 'pwrite', path: /f/, shortBytes: 3, count: 1 });
  rig.batch.pwrite(fd, 0, 0, 0, 10, true);
  rig.batch.pwrite(fd, 10, 0, 0, 10, true);
  rig.batch.pwrite(fd, 0, 0, 0, 2, false);
  t.throws(() => rig.batch.result(0), 'no result before the run');
  rig.runBatch();
  t.same(
    [0, 1, 2].map((i) => rig.batch.result(i)),
    [3, -125, 2],
  );
  rig.batch.clear();
  rig.batch.pread(fd, 0, 0, 100, 10, true, true);
  rig.runBatch();
  t.equal(rig.batch.result(0), 3);
  t.equal(rig.batch.crc(0), crc32(bytes(3, 5)));
  rig.batch.clear();
  rig.coldReads = 1;
  rig.batch.pread(fd, 0, 0, 100, 2, true, false);
  let done: number | null = null;
  rig.submitBatch(() => {
    done = rig.batch.result(0);
  });
  t.throws(() => rig.batch.pread(fd, 0, 0, 0, 1, false, false), 'in flight');
  rig.step();
  rig.drainCompletions();
  t.ok(done === -11 || done === 1);
});

t.test('holes and lengths', async (t) => {
  const sim = disk();
  const fd = sim.open('/f', O_CREATE, 0);
  sim.write(fd, bytes(100, 1), 8192);
  t.same(
    [sim.seekData(fd, 0), sim.seekHole(fd, 0), sim.seekHole(fd, 8192), sim.seekData(fd, 8300)],
    [8192, 0, 8292, -6],
  );
  sim.write(fd, bytes(4096, 1), 0);
  sim.fallocate(fd, true, 0, 4096);
  t.equal(sim.seekData(fd, 0), 8192);
  sim.truncate(fd, 8200);
  t.equal(sim.content('/f').length, 8200);
  const [entry] = sim.scan('/') as { blocks512: number }[];
  t.equal(entry!.blocks512, 8);
});

t.test('reads that were submitted bring their bytes', async (t) => {
  const sim = disk();
  const fd = sim.open('/f', O_CREATE, 0);
  sim.write(fd, bytes(10, 3), 0);
  let result: IoResult | undefined;
  sim.submitPread(fd, 0, 0, 0, 10, true, (io) => {
    result = { ...io };
  });
  sim.step();
  sim.drainCompletions();
  t.same([result?.result, result?.crc], [10, crc32(bytes(10, 3))]);
});
