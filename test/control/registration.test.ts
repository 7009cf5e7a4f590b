/** The registration loop and the partition check against a scripted master. */
import t from 'tap';
import type { MasterOutcome } from '../../src/control/masterCall.js';
import type { MasterCaller, MasterRequest } from '../../src/control/masterClient.js';
import { checkPartitions, RETRY_PAUSE_MS, register } from '../../src/control/registration.js';

const log = { info() {}, warn() {}, error() {} };
const never = new AbortController().signal;
const ok = (data: unknown): MasterOutcome => ({ ok: true, data });
const down: MasterOutcome = { ok: false, kind: 'noMaster', message: 'no valid master', detail: '' };

/** Answers calls from a list; a call beyond its end is answered by its last entry. */
function scripted(...answers: MasterOutcome[]): MasterCaller & { requests: MasterRequest[] } {
  const requests: MasterRequest[] = [];
  return {
    requests,
    async call(request) {
      const answer = answers[Math.min(requests.length, answers.length - 1)]!;
      requests.push(request);
      return answer;
    },
  };
}

t.test('registers with the address that the master sees', async (t) => {
  const master = scripted(ok({ Cluster: 'peer01', Ip: '10.1.2.3' }), ok(5));
  const registration = await register({ master, localIP: '', port: 17310, zoneName: '', log }, never);
  t.strictSame(registration, {
    cluster: 'peer01',
    localIP: '10.1.2.3',
    address: '10.1.2.3:17310',
    nodeId: 5,
  });
  t.strictSame(master.requests, [
    { method: 'GET', path: '/admin/getIp' },
    { method: 'POST', path: '/dataNode/add', query: { addr: '10.1.2.3:17310' } },
  ]);
});

t.test('a configured address goes before the one that the master sees', async (t) => {
  const master = scripted(ok({ Cluster: 'c', Ip: '10.1.2.3' }), ok(5));
  const registration = await register({ master, localIP: '10.9.9.9', port: 1, zoneName: '', log }, never);
  t.equal(registration?.address, '10.9.9.9:1');
});

t.test('a configured zone is told at the registration', async (t) => {
  const master = scripted(ok({ Cluster: 'c', Ip: '10.1.2.3' }), ok(5));
  await register({ master, localIP: '', port: 1, zoneName: 'zone a', log }, never);
  t.strictSame(master.requests[1]?.query, { addr: '10.1.2.3:1', zoneName: 'zone a' });
});

t.test('every failure is tried again after 2 s, from the beginning', async (t) => {
  const getIp = ok({ Cluster: 'c', Ip: '10.1.2.3' });
  const badIp = ok({ Cluster: 'c', Ip: '::1' });
  const master = scripted(
    down,
    getIp,
    down,
    badIp,
    getIp,
    ok('5'),
    getIp,
    ok(0),
    getIp,
    ok(-1),
    getIp,
    ok(1.5),
    getIp,
    ok(null),
    getIp,
    ok(9),
  );
  const pauses: number[] = [];
  const sleep = async (ms: number): Promise<void> => void pauses.push(ms);
  const registration = await register({ master, localIP: '', port: 1, zoneName: '', log, sleep }, never);
  t.equal(registration?.nodeId, 9);
  t.strictSame(pauses, Array(8).fill(RETRY_PAUSE_MS));
});

t.test('an abort ends the loop, during a pause as during a call', async (t) => {
  const during = new AbortController();
  const registration = register(
    { master: scripted(down), localIP: '', port: 1, zoneName: '', log },
    during.signal,
  );
  setImmediate(() => during.abort());
  t.equal(await registration, null);
  const call = new AbortController();
  const master: MasterCaller = {
    async call() {
      call.abort();
      return { ok: false, kind: 'aborted', message: 'aborted', detail: '' };
    },
  };
  t.equal(await register({ master, localIP: '', port: 1, zoneName: '', log }, call.signal), null);
});

const check = (master: MasterCaller, loaded: number[], allowLostPartitions = false) =>
  checkPartitions(
    { master, address: '10.0.0.1:17310', isLoaded: (id) => loaded.includes(id), allowLostPartitions, log },
    never,
  );

t.test("missing partitions are named in the reference's words", async (t) => {
  const master = scripted(ok({ ID: 5, PersistenceDataPartitions: [1, 2, 3, 4] }));
  t.strictSame(await check(master, [1, 3]), {
    ok: false,
    message: 'LackPartitions [2 4] on datanode 10.0.0.1:17310,datanode cannot start',
  });
  t.strictSame(master.requests, [
    { method: 'GET', path: '/dataNode/get', query: { addr: '10.0.0.1:17310' } },
  ]);
});

t.test('missing partitions are allowed when configured, more than listed are always', async (t) => {
  const list = ok({ PersistenceDataPartitions: [1, 2] });
  t.strictSame(await check(scripted(list), [1], true), { ok: true, value: null });
  t.strictSame(await check(scripted(list), [1, 2, 3]), { ok: true, value: null });
  t.strictSame(await check(scripted(ok({ PersistenceDataPartitions: null })), []), { ok: true, value: null });
  t.strictSame(await check(scripted(ok({})), []), { ok: true, value: null });
});

t.test('the list is asked for three times, then the start fails', async (t) => {
  const refused: MasterOutcome = { ok: false, kind: 'refused', code: 1, message: 'not now', detail: '' };
  const master = scripted(refused);
  t.match(await check(master, []), {
    ok: false,
    message: 'checkLocalPartitionMatchWithMaster error not now',
  });
  t.equal(master.requests.length, 3);
  t.ok((await check(scripted(refused, refused, ok({})), [])).ok);
});

t.test('masters between two leaders are waited for, until the start is aborted', async (t) => {
  const pauses: number[] = [];
  const options = {
    address: '10.0.0.1:17310',
    isLoaded: () => true,
    allowLostPartitions: false,
    log,
    sleep: async (ms: number): Promise<void> => void pauses.push(ms),
  };
  const master = scripted(...Array<MasterOutcome>(10).fill(down), ok({ PersistenceDataPartitions: [1] }));
  t.ok((await checkPartitions({ ...options, master }, never)).ok);
  t.strictSame(pauses, Array(10).fill(RETRY_PAUSE_MS));
  const aborting = new AbortController();
  const sleep = async (): Promise<void> => aborting.abort();
  const given = await checkPartitions({ ...options, sleep, master: scripted(down) }, aborting.signal);
  t.match(given, { ok: false, message: 'checkLocalPartitionMatchWithMaster error no valid master' });
});

t.test('an undecodable list fails the start', async (t) => {
  for (const ids of [5, 'x', [1, 'x'], [-1], [0.5], {}]) {
    t.match(await check(scripted(ok({ PersistenceDataPartitions: ids })), [1]), {
      ok: false,
      message: /^checkLocalPartitionMatchWithMaster jsonUnmarsh failed /,
    });
  }
});
