/**
 * The command line: the reference's flags in every spelling it accepts, and what the ready line looks like.
 */
import t from 'tap';
import { parseCommandLine } from '../../src/cli/arguments.js';
import { readyLine } from '../../src/cli/readyLine.js';
import { parseToolLine } from '../../src/cli/toolArguments.js';

t.test('flags of the reference', async (t) => {
  const node = { kind: 'node', configPath: 'x.json', foreground: true };
  for (const text of ['-c x.json -f', '-f -c=x.json', '--f --c x.json', '-f --c=x.json']) {
    t.strictSame(parseCommandLine(text.split(' ')), node, text);
  }
  t.strictSame(parseCommandLine(['-c', 'x.json']), { ...node, foreground: false });
  t.strictSame(
    parseCommandLine(['-c', '-f']),
    { kind: 'node', configPath: '-f', foreground: false },
    'a value may look like a flag',
  );
  t.strictSame(parseCommandLine(['-v']), { kind: 'version' });
  t.match(parseCommandLine(['-h']), { kind: 'help', text: /extentd -c FILE/ });
});

t.test('standalone takes all that follows', async (t) => {
  const args = ['--port', '1', '-c'];
  t.strictSame(parseCommandLine(['standalone', ...args]), { kind: 'standalone', args });
});

t.test('what cannot be meant is one line', async (t) => {
  const cases: [string[], RegExp][] = [
    [[], /^no config file given/],
    [['-f'], /^no config file given/],
    [['-c'], /^flag needs an argument: -c/],
    [['-c='], /^no config file given/],
    [['-x'], /^unknown argument "-x"/],
    [['x.json'], /^unknown argument "x.json"/],
    [['-f=1', '-c', 'x'], /^unknown argument "-f=1"/],
    [['-c', 'x', 'standalone'], /^unknown argument "standalone"/],
  ];
  for (const [args, message] of cases)
    t.match(parseCommandLine(args), { kind: 'error', message }, args.join(' '));
});

t.test('the ready line names what is served', async (t) => {
  t.equal(
    readyLine({ data: '127.0.0.1:1', http: null, master: '127.0.0.1:2' }),
    'extentd ready data=127.0.0.1:1 master=127.0.0.1:2\n',
  );
});

t.test('a tool takes what follows its name, and reads it by itself', async (t) => {
  t.strictSame(parseCommandLine(['inspect', 'a', '--json']), {
    kind: 'tool',
    tool: 'inspect',
    args: ['a', '--json'],
  });
  const request = { tool: 'inspect', target: 'a', json: true };
  t.strictSame(parseToolLine('inspect', ['--json', 'a']), { kind: 'request', request });
  t.match(parseToolLine('inspect', ['-h']), { kind: 'help', text: /^extentd inspect DIR/ });
  for (const args of [[], ['a', 'b'], ['a', '--jsonx'], ['a', '--json=1'], ['-c', 'a'], ['a', '-c', 'b']])
    t.match(parseToolLine('inspect', args), { kind: 'error', message: /^inspect: .*--help/ }, args.join(' '));
  t.strictSame(parseToolLine('recover', ['a']), {
    kind: 'request',
    request: { tool: 'recover', target: 'a', json: false },
  });
  t.strictSame(parseToolLine('check', ['-c', 'x.json']), {
    kind: 'request',
    request: { tool: 'check', target: 'x.json', json: false },
  });
  for (const args of [[], ['-c'], ['x.json'], ['-c', 'x', 'y']])
    t.match(parseToolLine('check', args), { kind: 'error', message: /^check: .*--help/ }, args.join(' '));
});
