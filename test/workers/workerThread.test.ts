/**
 * A worker on its own thread, asked over both ports while it runs: outcomes of forwarded appends, and a thread with an event loop that comes after the worker did.
 */
import t, { type Test } from 'tap';
import { IO, native } from '../../src/native/addon.js';
import { INTERNAL_OP } from '../../src/partition/internalOps.js';
import { type PartitionInfo, readPartitionInfo } from '../../src/partition/internalRecords.js';
import { COMMAND } from '../../src/partition/messages.js';
import { OP } from '../../src/protocol/opcodes.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { WorkerHandle, type WorkerListener } from '../../src/server/workerHandle.js';
import { WorkerPort } from '../../src/server/workerPort.js';
import { DoorbellSleeper } from '../../src/shm/doorbell.js';
import { RingConsumer, RingProducer } from '../../src/shm/ring.js';
import type { RequestPort } from '../../src/workers/workerData.js';
import { until } from '../support/until.js';
import {
  type Assigned,
  HOST,
  newRoot,
  PARTITION,
  put,
  putSettle,
  type Reply,
  type Request,
  readReplies,
  type SettleRequest,
  type WorkerRun,
  workerData,
} from './workerRig.js';

const body = Buffer.alloc(3000, 'abcdefg');

/** One end of a port, on the test's thread. */
class End {
  readonly run: WorkerRun = { space: null as never, replies: new Map(), assigned: new Map(), events: [] };
  readonly #port: RequestPort;
  readonly #requests: RingProducer;
  readonly #replies: RingConsumer;
  readonly #ring: () => void;

  constructor(port: RequestPort, ring: () => void) {
    this.#port = port;
    this.#requests = new RingProducer(port.requests);
    this.#replies = new RingConsumer(port.replies);
    this.#ring = ring;
  }

  send(tag: number, request: Request | SettleRequest): void {
    if ('settle' in request) putSettle(this.#requests, request);
    else put(this.#requests, new Uint8Array(this.#port.slab), tag, request);
    this.#requests.publish();
    this.#ring();
  }

  read(): void {
    readReplies(this.#replies, new Uint8Array(this.#port.slab), new Map(), this.run);
    this.#replies.release();
  }

  async reply(tag: number): Promise<Reply> {
    await until(`reply ${tag}`, () => {
      this.read();
      return this.run.replies.has(tag);
    });
    return this.run.replies.get(tag)!;
  }

  async assigned(tag: number): Promise<Assigned> {
    await until(`assigned ${tag}`, () => {
      this.read();
      return this.run.assigned.has(tag);
    });
    return this.run.assigned.get(tag)!;
  }
}

interface Rig {
  clients: End;
  own: End;
  ports: RequestPort[];
}

/** A worker with partition 7, whose only host this is; it ends with the test. */
async function started(t: Test): Promise<Rig> {
  const data = workerData({ root: newRoot(t), writes: 'always' });
  const nothing = (): void => {};
  const listener: WorkerListener = {
    ...{ attached: nothing, refused: nothing, loaded: nothing, bodyPiece: nothing, log: nothing },
    ...{ damaged: nothing, group: nothing, stopped: nothing, died: nothing },
    failed: (_handle, reason) => t.fail(reason),
  };
  const wake = (words: Int32Array): boolean => native.ringDoorbell(words);
  const port = new WorkerPort(0, 0, data.root, data.ports[0]!, data.doorbell, wake);
  const handle = new WorkerHandle(data, port, listener);
  const drained = (condition: () => boolean) => () => {
    handle.drainEvents();
    return condition();
  };
  t.teardown(async () => {
    handle.stop();
    await until(
      'the end of the worker',
      drained(() => handle.stopped),
    );
  });
  let created = false;
  void handle.ask(COMMAND.createPartition, { ...PARTITION, hosts: [HOST] }).then((answer) => {
    created = answer.ok;
  });
  await until(
    'the partition',
    drained(() => created),
  );
  const [clients, own] = data.ports.map((each) => new End(each, () => native.ringDoorbell(data.doorbell)));
  return { clients: clients!, own: own!, ports: data.ports };
}

async function described(own: End, tag: number): Promise<PartitionInfo> {
  own.send(tag, { opcode: INTERNAL_OP.describe, connection: 0 });
  const { text } = await own.reply(tag);
  return readPartitionInfo(Uint8Array.from(Buffer.from(text, 'latin1')));
}

t.test('a tiny extent stays lent until its outcome comes, and an idle worker takes that', async (t) => {
  const { clients, own } = await started(t);
  const append: Request = { opcode: OP.write, connection: 1, extentType: 0, body, forwarded: true };
  clients.send(0, append);
  clients.send(1, append);
  const first = await clients.assigned(0);
  const second = await clients.assigned(1);
  t.same([first.extentId, second.extentId], [1, 2]);
  t.match(await clients.reply(0), { resultCode: RESULT.ok, extentId: 1, extentOffset: 0 });
  t.match(await clients.reply(1), { resultCode: RESULT.ok, extentId: 2 });
  t.match(await described(own, 0), { tinyAvailable: 62, tinyWriting: 2, tinyBroken: 0 });
  const { loan } = first;
  clients.send(-1, { settle: { extentId: 1, loan, acknowledged: true, partitionId: 99 } });
  clients.send(-1, { settle: { extentId: 1, loan: loan + 7, acknowledged: true } });
  clients.send(-1, { settle: { extentId: 1, loan, acknowledged: true } });
  clients.send(-1, { settle: { extentId: 2, loan: second.loan, acknowledged: false } });
  let tag = 1;
  let info: PartitionInfo | null = null;
  // Ports have no order between each other.
  while (info === null || (info.tinyWriting > 0 && tag < 60)) info = await described(own, tag++);
  t.match(info, { tinyAvailable: 63, tinyWriting: 0, tinyBroken: 1 });
});

t.test('what is assigned is told before the disk has written anything', async (t) => {
  const { clients, own } = await started(t);
  // Its file is open then, so the append goes into a batch at once.
  own.send(1, { opcode: INTERNAL_OP.readBlock, connection: 0, extentId: 1, size: 10 });
  t.equal((await own.reply(1)).text, 'ActionRepair:_EOF');
  native.setFault(0, [IO.pwrite], 'hang', 0, 1);
  t.teardown(() => native.clearFaults(0));
  clients.send(0, { opcode: OP.write, connection: 1, extentType: 0, body, forwarded: true });
  t.match(await clients.assigned(0), { extentId: 1, extentOffset: 0 });
  clients.read();
  t.equal(clients.run.replies.size, 0);
  native.clearFaults(0);
  t.match(await clients.reply(0), { resultCode: RESULT.ok });
  t.match(await described(own, 0), { tinyWriting: 1 });
});

t.test('a failure of the own port stops no connection', async (t) => {
  const { clients, own } = await started(t);
  own.send(0, { opcode: OP.write, connection: 1, extentId: 999, body });
  t.equal((await own.reply(0)).resultCode, RESULT.notExistErr);
  clients.send(0, { opcode: OP.createExtent, connection: 1 });
  t.match(await clients.reply(0), { resultCode: RESULT.ok, extentId: 1025 });
});

t.test('appends that wait for a lent extent go on when it is settled', async (t) => {
  const { clients } = await started(t);
  // More than the ring takes at once: each is read before the next is sent.
  for (let tag = 0; tag < 63; tag += 1) {
    clients.send(tag, { opcode: OP.write, connection: 1, extentType: 0, body, forwarded: true });
    await clients.reply(tag);
  }
  clients.run.replies.clear();
  clients.send(0, { opcode: OP.write, connection: 1, extentType: 0, body });
  t.match(await clients.reply(0), { resultCode: RESULT.ok, extentId: 64 });
  clients.send(63, { opcode: OP.write, connection: 1, extentType: 0, body, forwarded: true });
  await clients.reply(63);
  clients.run.replies.clear();
  clients.send(1, { opcode: OP.write, connection: 1, extentType: 0, body });
  clients.send(-1, { settle: { extentId: 9, loan: 9, acknowledged: true } });
  t.match(await clients.reply(1), { resultCode: RESULT.ok, extentId: 9, extentOffset: 4096 });
});

t.test(
  'a thread that comes after the worker is woken by the id of its loop, and so is its successor',
  async (t) => {
    const { own, ports } = await started(t);
    const { doorbell, loop } = ports[1]!;
    // Nobody is there: nobody is woken, nothing is lost.
    own.send(0, { opcode: INTERNAL_OP.describe, connection: 0 });
    await own.reply(0);
    const sleeper = new DoorbellSleeper(doorbell, native.waitDoorbell);
    for (let life = 1; life <= 2; life += 1) {
      let calls = 0;
      const id = native.registerLoop(() => {
        calls += 1;
      });
      Atomics.store(loop, 0, id);
      sleeper.disarm();
      own.read();
      t.ok(sleeper.arm(sleeper.sequence()));
      own.send(life, { opcode: INTERNAL_OP.describe, connection: 0 });
      await until('a call', () => calls > 0);
      t.match(await own.reply(life), { resultCode: RESULT.ok });
      // It ends asleep.
      sleeper.arm(sleeper.sequence());
      native.unregisterLoop(id);
    }
  },
);
