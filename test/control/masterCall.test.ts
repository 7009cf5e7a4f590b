/** Candidate order and outcomes of a call to the master, without any I/O. */
import t from 'tap';
import {
  afterTry,
  type Decision,
  REPEATS_MAX,
  readEnvelope,
  startCall,
} from '../../src/control/masterCall.js';

const MASTERS = ['a:1', 'b:1', 'c:1'];

/** Answers every try by `reply` and returns the hosts asked and the end. */
function run(
  leader: string | null,
  reply: (host: string, tryNumber: number) => { status: number; body: string } | string,
): { hosts: string[]; end: Decision & { kind: 'done' } } {
  const hosts: string[] = [];
  let decision = startCall(MASTERS, leader);
  while (decision.kind === 'try') {
    hosts.push(decision.host);
    const answer = reply(decision.host, hosts.length);
    decision = afterTry(
      decision.state,
      typeof answer === 'string' ? { kind: 'failed', reason: answer } : { kind: 'reply', ...answer },
    );
  }
  return { hosts, end: decision };
}

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
    message: 'request error, code[10], msg[data node not exists]',
  });
});

t.test('403 with an address repeats the call, a bounded number of times', async (t) => {
  const { hosts, end } = run('a:1', () => ({ status: 403, body: 'b:1\n' }));
  t.equal(hosts.length, REPEATS_MAX + 1);
  t.match(end.outcome, { kind: 'noMaster', message: 'no valid master' });
  const once = run('a:1', (_host, tryNumber) =>
    tryNumber === 1 ? { status: 403, body: 'b:1' } : { status: 200, body: OK },
  );
  t.strictSame(once.hosts, ['a:1', 'a:1']);
  t.ok(once.end.outcome.ok);
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
