/** The registration with a consul agent, against a small agent on loopback; the minutes are the test's. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { consulRegisterUrl } from '../../src/config/consulAddr.js';
import {
  ConsulRegistration,
  isFailureLogged,
  metricsAddress,
  registrationBody,
} from '../../src/control/consul.js';
import { until } from '../support/until.js';

const SERVICE = { cluster: 'chubao-1', address: '10.0.0.7', port: 9500 };

interface Call {
  line: string;
  type: string | undefined;
  authorization: string | undefined;
  body: string;
}

/** An agent that takes calls down and answers with `answer`. */
class Agent {
  readonly calls: Call[] = [];
  answer: (response: ServerResponse) => void = (response) => response.end();
  readonly #server: Server = createServer((request, response) => void this.#take(request, response));

  async start(t: Test): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    t.teardown(() => {
      this.#server.closeAllConnections();
      this.#server.close();
    });
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = '';
    for await (const piece of request.setEncoding('utf8')) body += piece;
    const { authorization, 'content-type': type } = request.headers;
    this.calls.push({ line: `${request.method} ${request.url}`, type, authorization, body });
    this.answer(response);
  }
}

/** A registration whose minutes pass when the test says so. */
function scene(timeoutMs = 10_000) {
  const lines: { level: string; fields: Record<string, unknown>; text: string }[] = [];
  const waits: { ms: number; run: () => void }[] = [];
  const take = (level: string) => (fields: unknown, text?: string) => {
    lines.push({ level, fields: fields as Record<string, unknown>, text: text ?? '' });
  };
  const consul = new ConsulRegistration({
    service: SERVICE,
    log: { info: take('info'), warn: take('warn') },
    later(ms, run) {
      const wait = { ms, run };
      waits.push(wait);
      return () => {
        const at = waits.indexOf(wait);
        if (at >= 0) waits.splice(at, 1);
      };
    },
    timeoutMs,
  });
  const minute = async (): Promise<void> => {
    await until('the next registration is due', () => waits.length === 1);
    const { run } = waits.shift()!;
    run();
    await until('it has ended', () => waits.length === 1);
  };
  return { consul, lines, waits, minute };
}

t.test('the body of a registration is the reference’s, byte for byte', async (t) => {
  t.equal(
    registrationBody(SERVICE),
    '{"Name":"cfs","ID":"cfs_dataNode_10.0.0.7_9500","Address":"10.0.0.7","Port":9500,"Tags":["app=cfs","role=dataNode","cluster=chubao-1"]}',
  );
});

t.test('base URLs: with path, with trailing slashes, https, IPv6, without scheme', async (t) => {
  const path = '/v1/agent/service/register';
  const cases: [string, string | null][] = [
    ['http://192.168.0.100:8500', `http://192.168.0.100:8500${path}`],
    ['http://consul', `http://consul${path}`],
    ['http://consul:8500/', `http://consul:8500${path}`],
    ['http://consul:8500//', `http://consul:8500${path}`],
    ['http://proxy/consul/', `http://proxy/consul${path}`],
    ['HTTPS://consul:8501', `https://consul:8501${path}`],
    ['http://[fd00::1]:8500', `http://[fd00::1]:8500${path}`],
    ['http://me:secret@consul:8500', `http://me:secret@consul:8500${path}`],
    ['192.168.0.100:8500', `http://192.168.0.100:8500${path}`],
    ['[::1]:8500', `http://[::1]:8500${path}`],
    ['consul', `http://consul${path}`],
    ['', null],
    ['http://', null],
    ['ftp://consul', null],
    ['http://consul:99999', null],
    ['http://consul:8500?dc=1', null],
    ['http://consul:8500/#x', null],
    ['http://con sul', null],
    ['fd00::1:8500', null],
  ];
  for (const [text, expected] of cases) t.equal(consulRegisterUrl(text)?.href ?? null, expected, text);
});

t.test('the address of the metrics: the exporter’s own where others reach it, else the node’s', async (t) => {
  const cases: [string, string][] = [
    ['127.0.0.1', '10.0.0.7'],
    ['127.1.2.3', '10.0.0.7'],
    ['::1', '10.0.0.7'],
    ['0.0.0.0', '10.0.0.7'],
    ['::', '10.0.0.7'],
    ['192.168.7.1', '192.168.7.1'],
    ['fd00::7', 'fd00::7'],
  ];
  for (const [listens, expected] of cases) t.equal(metricsAddress(listens, '10.0.0.7'), expected, listens);
});

t.test('registers at once and then every minute, until it is stopped', async (t) => {
  const agent = new Agent();
  const { consul, lines, waits, minute } = scene();
  consul.use(await agent.start(t));
  await until('the first', () => waits.length === 1);
  t.strictSame(agent.calls, [
    {
      line: 'PUT /v1/agent/service/register',
      type: 'application/json',
      authorization: undefined,
      body: registrationBody(SERVICE),
    },
  ]);
  t.equal(waits[0]!.ms, 60_000);
  await minute();
  await minute();
  t.equal(agent.calls.length, 3);
  t.strictSame(
    lines.map(({ level, text }) => `${level} ${text}`),
    ['info registered with consul'],
    'said once',
  );
  consul.stop();
  t.strictSame(waits, [], 'no more');
  consul.stop();
});

t.test('an agent behind a path and a password', async (t) => {
  const agent = new Agent();
  const base = await agent.start(t);
  const { consul, lines, waits } = scene();
  consul.use(`${base.replace('http://', 'http://me:secret@')}/consul/`);
  await until('the first', () => waits.length === 1);
  t.equal(agent.calls[0]!.line, 'PUT /consul/v1/agent/service/register');
  t.equal(agent.calls[0]!.authorization, `Basic ${Buffer.from('me:secret').toString('base64')}`);
  t.notMatch(JSON.stringify(lines), /secret/);
  consul.stop();
});

t.test('failures: the first is logged and one in ten, and that it works again', async (t) => {
  const agent = new Agent();
  const { consul, lines, minute } = scene();
  agent.answer = (response) => {
    response.statusCode = 500;
    response.end('no leader\nhere');
  };
  consul.use(await agent.start(t));
  for (let i = 0; i < 10; i++) await minute();
  t.equal(agent.calls.length, 11);
  t.match(
    lines.map(({ level, fields }) => [level, fields]),
    [
      ['warn', { failures: 1, reason: 'status 500 no leader here' }],
      ['warn', { failures: 11 }],
    ],
  );
  t.equal(lines.length, 2);
  agent.answer = (response) => response.end();
  await minute();
  t.match(lines[2], { level: 'info', text: 'registered with consul' });
  agent.answer = (response) => response.destroy();
  await minute();
  t.match(lines[3], { level: 'warn', fields: { failures: 1 } });
  consul.stop();
  t.strictSame([1, 2, 10, 11, 20, 21].map(isFailureLogged), [true, false, false, true, false, true]);
});

t.test(
  'an agent that does not answer, one whose refusal has no end, and one that is not there',
  async (t) => {
    const agent = new Agent();
    const base = await agent.start(t);
    const reasonOf = async (address: string, timeoutMs: number): Promise<string> => {
      const { consul, lines } = scene(timeoutMs);
      consul.use(address);
      await until('the failure', () => lines.length === 1);
      consul.stop();
      return String(lines[0]!.fields['reason']);
    };
    agent.answer = () => {};
    t.equal(await reasonOf(base, 50), 'no answer within 50 ms');
    agent.answer = (response) => {
      response.statusCode = 403;
      response.write('x'.repeat(10_000));
    };
    t.equal(await reasonOf(base, 60_000), `status 403 ${'x'.repeat(200)}`);
    t.match(await reasonOf('http://127.0.0.1:1', 60_000), /ECONNREFUSED/);
  },
);

t.test('another agent, or none: the one before hears nothing more', async (t) => {
  const first = new Agent();
  const second = new Agent();
  const { consul, lines, waits, minute } = scene();
  let givenUp = false;
  first.answer = (response) => {
    response.on('close', () => {
      givenUp = true;
    });
  };
  consul.use(await first.start(t));
  await until('it was asked', () => first.calls.length === 1);
  consul.use(await second.start(t));
  await until('what was under way is given up', () => givenUp);
  await until('the second', () => waits.length === 1);
  await minute();
  t.strictSame([first.calls.length, second.calls.length], [1, 2]);
  t.equal(lines.length, 1, 'what was given up is no failure');
  consul.use('');
  t.strictSame(waits, []);
});
