/** Candidate order and outcomes of a call to the master, without any I/O. */
import t from 'tap';
import {
  afterTry,
  DETOURS_MAX,
  type Decision,
  outOfTime,
  readEnvelope,
  redirectOf,
  startCall,
} from '../../src/control/masterCall.js';

const MASTERS = ['a:1', 'b:1', 'c:1'];

/** Answers every try by `reply` and returns the hosts asked and the end. */
function run(
  leader: string | null,
  reply: (host: string, tryNumber: number) => { status: number; body: string; redirect?: string } | string,
): { hosts: string[]; urls: (string | null)[]; end: Decision & { kind: 'done' } } {
  const hosts: string[] = [];
  const urls: (string | null)[] = [];
  let decision = startCall(MASTERS, leader);
  while (decision.kind === 'try') {
    hosts.push(decision.host);
    urls.push(decision.url);
    const answer = reply(decision.host, hosts.length);
    decision = afterTry(
      decision.state,
      typeof answer === 'string'
        ? { kind: 'failed', reason: answer, isSilent: answer === SILENT }
        : { kind: 'reply', redirect: null, ...answer },
    );
  }
  return { hosts, urls, end: decision };
}

/** A try that used up its time. */
const SILENT = 'no reply within 30000 ms';
const OK = '{"code":0,"msg":"success","data":7}';

t.test('without a known leader the last configured master is asked first, then all in order', async (t) => {
  const { hosts, end } = run(null, () => 'connection refused');
  t.strictSame(hosts, ['c:1', 'a:1', 'b:1', 'c:1']);
  t.strictSame(end.leader, null);
  t.strictSame(end.outcome, {
    ok: false,
    kind: 'noMaster',
    message: 'no valid master',
    detail: 'c:1: connection refused',
  });
});

t.test('a known leader is asked first', async (t) => {
  const { hosts, end } = run('b:1', () => ({ status: 200, body: OK }));
  t.strictSame(hosts, ['b:1']);
  t.strictSame(end, { kind: 'done', leader: 'b:1', outcome: { ok: true, data: 7 } });
});

t.test(
  'any status but 200 and 403 goes on to the next candidate, and the one that answers is the leader',
  async (t) => {
    const { hosts, end } = run(null, (host) =>
      host === 'b:1' ? { status: 200, body: OK } : { status: host === 'c:1' ? 400 : 502, body: 'no leader' },
    );
    t.strictSame(hosts, ['c:1', 'a:1', 'b:1']);
    t.equal(end.leader, 'b:1');
  },
);

t.test('an error code ends the call without further candidates', async (t) => {
  const { hosts, end } = run(null, () => ({
    status: 200,
    body: '{"code":10,"msg":"data node not exists","data":null}',
  }));
  t.strictSame(hosts, ['c:1']);
  t.match(end.outcome, {
    ok: false,
    kind: 'refused',
    code: 10,
    message: 'request error, code[10], msg[data node not exists]',
  });
});

t.test('403 with the address of a configured master: that one is asked next', async (t) => {
  const named = run('a:1', (host) =>
    host === 'b:1' ? { status: 200, body: OK } : { status: 403, body: 'b:1\n' },
  );
  t.strictSame(named.hosts, ['a:1', 'b:1']);
  t.equal(named.end.leader, 'b:1');
  const stranger = run('a:1', (host) =>
    host === 'c:1' ? { status: 200, body: OK } : { status: 403, body: 'evil:1' },
  );
  t.strictSame(stranger.hosts, ['a:1', 'a:1', 'b:1', 'c:1'], 'nobody else is asked');
});

t.test('403 from everybody ends, and the number of detours is bounded', async (t) => {
  const { hosts, end } = run('a:1', (host) => ({ status: 403, body: host === 'a:1' ? 'b:1' : 'a:1' }));
  t.equal(hosts.length, 1 + DETOURS_MAX + MASTERS.length);
  t.match(end.outcome, { kind: 'noMaster', message: 'no valid master' });
});

t.test('redirects are followed a bounded number of times, then the next candidate is asked', async (t) => {
  const once = run('a:1', (_host, tryNumber) =>
    tryNumber === 1
      ? { status: 307, body: '', redirect: 'http://b:1/admin/getIp' }
      : { status: 200, body: OK },
  );
  t.strictSame(once.hosts, ['a:1', 'b:1']);
  t.strictSame(once.urls, [null, 'http://b:1/admin/getIp']);
  t.equal(once.end.leader, 'b:1');
  const elsewhere = run('a:1', (_host, tryNumber) =>
    tryNumber === 1 ? { status: 302, body: '', redirect: 'http://balancer/x' } : { status: 200, body: OK },
  );
  t.equal(elsewhere.end.leader, 'a:1', 'the leader is always a configured master');
  const loop = run('a:1', () => ({ status: 301, body: '', redirect: 'http://a:1/' }));
  t.equal(loop.hosts.length, 1 + DETOURS_MAX + MASTERS.length);
});

t.test('which replies are redirects', async (t) => {
  const url = 'http://a:1/dataNode/add?addr=x';
  t.equal(redirectOf(307, 'POST', 'http://b:1/y', url), 'http://b:1/y');
  t.equal(redirectOf(308, 'POST', '/y', url), 'http://a:1/y');
  t.equal(redirectOf(302, 'GET', 'z?q=1', url), 'http://a:1/dataNode/z?q=1');
  t.equal(redirectOf(302, 'POST', '/y', url), null, 'the body would be lost');
  for (const location of [undefined, 'https://b:1/', 'ftp://b', 'http://'])
    t.equal(redirectOf(301, 'GET', location, url), null, String(location));
  for (const status of [200, 304, 400, 502]) t.equal(redirectOf(status, 'GET', '/y', url), null);
});

t.test('a master that kept silent is not asked again in the same call', async (t) => {
  const { hosts } = run('b:1', (host) => (host === 'b:1' ? SILENT : { status: 400, body: 'no leader' }));
  t.strictSame(hosts, ['b:1', 'a:1', 'c:1']);
  const named = run('b:1', (host) => (host === 'b:1' ? SILENT : { status: 403, body: 'b:1' }));
  t.strictSame(named.hosts, ['b:1', 'a:1', 'c:1'], 'even when another one names it');
});

t.test(
  'a server that says 200 and is no master is passed over, and does not become the leader',
  async (t) => {
    const { hosts, end } = run('c:1', (host) => ({ status: 200, body: host === 'b:1' ? OK : '<html>' }));
    t.strictSame(hosts, ['c:1', 'a:1', 'b:1']);
    t.equal(end.leader, 'b:1');
    const nobody = run('c:1', () => ({ status: 200, body: '<html>' }));
    t.match(nobody.end, {
      leader: null,
      outcome: { kind: 'undecodable', message: /^unmarshal response body err:/, detail: 'c:1' },
    });
  },
);

t.test('a call that has used up its time says why', async (t) => {
  const first = startCall(MASTERS, null) as Decision & { kind: 'try' };
  const { state } = afterTry(first.state, { kind: 'failed', reason: SILENT, isSilent: true }) as Decision & {
    kind: 'try';
  };
  t.match(outOfTime(state, 120_000), {
    kind: 'noMaster',
    detail: `c:1: ${SILENT}; the call has taken 120000 ms`,
  });
});

t.test('403 without an address means no valid master at once', async (t) => {
  const { hosts, end } = run('a:1', () => ({ status: 403, body: '\n' }));
  t.strictSame(hosts, ['a:1']);
  t.match(end.outcome, { kind: 'noMaster' });
});

t.test('no configured master at all', async (t) => {
  const decision = startCall([], null);
  t.match(decision, { kind: 'done', outcome: { kind: 'noMaster' } });
});

t.test('envelopes', async (t) => {
  t.strictSame(readEnvelope('{"code":0,"msg":"success","data":{"x":1}}'), { ok: true, data: { x: 1 } });
  t.strictSame(readEnvelope('{}'), { ok: true, data: null }, 'missing keys are zero values');
  for (const bad of ['', 'null', '[]', '5', '{', '{"code":"0"}', '{"code":0.5}', '<html>']) {
    t.match(
      readEnvelope(bad),
      { ok: false, kind: 'undecodable', message: /^unmarshal response body err:/ },
      bad,
    );
  }
});

t.test('hosts that hang are asked last, in their order', async (t) => {
  const order = (hanging: string[]): string[] => {
    const decision = startCall(['a:1', 'b:1', 'c:1'], 'b:1', new Set(hanging));
    return decision.kind === 'try' ? [...decision.state.candidates] : [];
  };
  t.strictSame(order([]), ['b:1', 'a:1', 'b:1', 'c:1']);
  t.strictSame(order(['b:1']), ['a:1', 'c:1', 'b:1', 'b:1']);
  t.strictSame(order(['a:1', 'b:1', 'c:1']), ['b:1', 'a:1', 'b:1', 'c:1']);
  t.match(startCall(['a:1', 'b:1'], 'b:1', new Set(['b:1'])), { kind: 'try', host: 'a:1' });
});
