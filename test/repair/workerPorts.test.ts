/** The repair thread's end of the rings: questions and answers, their bounds, batches, workers that end. */
import t from 'tap';
import { portsAndWorkers, repairMemory, turns } from './repairWorker.js';

const question = (extentId: number, more: object = {}) => ({
  opcode: 0xe7,
  partitionId: 7,
  extentId,
  ...more,
});

t.test('questions of one turn cost one wake-up, and their answers find them in any order', async (t) => {
  const { ports, workers } = portsAndWorkers(repairMemory(2));
  const body = Buffer.from('abc');
  const first = ports.ask(0, question(1, { body, crc: 0xffff_fff0, extentType: 0, extentOffset: 4096 }));
  const second = ports.ask(0, question(2, { answerBytes: 100_000, size: 77 }));
  const other = ports.ask(1, question(3));
  await turns();
  t.same([workers[0]!.wakes, workers[1]!.wakes], [1, 1]);
  const [one, two] = workers[0]!.take();
  t.match(one, {
    opcode: 0xe7,
    partitionId: 7,
    extentId: 1,
    extentType: 0,
    extentOffset: 4096,
    size: 3,
    crc: 0xffff_fff0,
    room: 4096,
  });
  t.equal(one!.body.toString(), 'abc');
  t.match(two, { extentId: 2, extentType: 1, size: 77, room: 131_072 });
  workers[0]!.answer(two!, { body: Buffer.from('second'), extentOffset: 5, remainingBytes: 9 });
  workers[0]!.answer(one!, { text: 'ActionRepair:_no' });
  workers[1]!.answer(workers[1]!.take()[0]!);
  const answer = await second;
  t.match(answer, { extentId: 2, extentOffset: 5, remainingBytes: 9 });
  t.equal(Buffer.from(answer.body).toString(), 'second');
  await t.rejects(first, { message: 'ActionRepair:_no', resultCode: 0xf4 });
  await other;
  t.equal(ports.open, 0);
});

t.test('what does not fit waits in order, and another disk has its own room', async (t) => {
  const { ports, workers } = portsAndWorkers(repairMemory(2, 4, 8));
  const asked = Array.from({ length: 10 }, (_, i) => ports.ask(0, question(i)));
  await turns();
  t.same(
    workers[0]!.take().map(({ extentId }) => extentId),
    [0, 1, 2, 3],
    'as many as the worker takes',
  );
  const other = ports.ask(1, question(99));
  await turns();
  workers[1]!.answer(workers[1]!.take()[0]!);
  await other;
  const seen: number[] = [];
  while (seen.length < 10) {
    for (const taken of [...workers[0]!.take()]) {
      seen.push(taken.extentId);
      workers[0]!.answer(taken);
    }
    await turns();
  }
  t.same(
    seen,
    Array.from({ length: 10 }, (_, i) => i),
  );
  await Promise.all(asked);
});

t.test('a disk that answers nothing does not take the slots of another one', async (t) => {
  const { ports, workers } = portsAndWorkers(repairMemory(2, 64, 8));
  const hung = Array.from({ length: 40 }, (_, i) =>
    ports.ask(0, question(i, { answerBytes: 100_000 })).catch(() => {}),
  );
  await turns();
  const other = ports.ask(1, question(1, { answerBytes: 100_000 }));
  await turns();
  t.equal(workers[1]!.take().length, 1);
  workers[1]!.answer(workers[1]!.open[0]!);
  await other;
  ports.gone(0, 'over');
  await Promise.all(hung);
});

t.test(
  'a worker that is gone: what is at it and what waits for it is refused, what it says later is passed over',
  async (t) => {
    const { ports, workers } = portsAndWorkers(repairMemory(1, 2));
    const asked = [1, 2, 3].map((id) => ports.ask(0, question(id)));
    await turns();
    const taken = [...workers[0]!.take()];
    ports.gone(0, 'disk has broken');
    for (const one of asked) await t.rejects(one, /disk has broken/);
    await t.rejects(ports.ask(0, question(4)), /disk has broken/);
    workers[0]!.answer(taken[0]!);
    await turns();
    t.equal(ports.open, 0);
  },
);

t.test('after the stop nothing is sent; what is at workers comes back', async (t) => {
  const { ports, workers } = portsAndWorkers(repairMemory(1, 1));
  const first = ports.ask(0, question(1));
  const second = ports.ask(0, question(2));
  await turns();
  ports.close();
  await t.rejects(second, /stopping/);
  await t.rejects(ports.ask(0, question(3)), /stopping/);
  t.equal(ports.open, 1);
  workers[0]!.answer(workers[0]!.take()[0]!);
  await first;
  t.equal(ports.open, 0);
  t.equal(workers[0]!.take().length, 0);
});
