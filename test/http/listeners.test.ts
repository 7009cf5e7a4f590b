/** Which sockets `prof`, `exporterPort` and their addresses mean. */
import t from 'tap';
import { planListeners } from '../../src/http/listeners.js';

t.test('prof and exporter: none, one or two sockets, never two that clash', async (t) => {
  const plan = (profPort: number | null, exporterPort: number, http: string, exporter: string) =>
    planListeners({ profPort, exporterPort, httpAddress: http, exporterAddress: exporter }).map(
      ({ address, port, ...serves }) =>
        `${address}:${port}${serves.prof ? ' prof' : ''}${serves.exporter ? ' exporter' : ''}`,
    );
  t.strictSame(plan(null, 0, '127.0.0.1', ''), []);
  t.strictSame(plan(17320, 0, '127.0.0.1', '0.0.0.0'), ['127.0.0.1:17320 prof']);
  t.strictSame(plan(0, 0, '127.0.0.1', ''), ['127.0.0.1:0 prof']);
  t.strictSame(plan(null, 9500, '127.0.0.1', ''), ['127.0.0.1:9500 exporter']);
  t.strictSame(plan(17320, 9500, '127.0.0.1', '10.0.0.1'), [
    '127.0.0.1:17320 prof',
    '10.0.0.1:9500 exporter',
  ]);
  t.strictSame(plan(9500, 9500, '127.0.0.1', ''), ['127.0.0.1:9500 prof exporter']);
  t.strictSame(plan(9500, 9500, '127.0.0.1', '127.0.0.1'), ['127.0.0.1:9500 prof exporter']);
  t.strictSame(plan(9500, 9500, '127.0.0.1', '10.0.0.1'), ['127.0.0.1:9500 prof', '10.0.0.1:9500 exporter']);
  t.strictSame(plan(9500, 9500, '127.0.0.1', '0.0.0.0'), ['0.0.0.0:9500 prof exporter']);
  t.strictSame(plan(9500, 9500, '::', '10.0.0.1'), [':::9500 prof exporter']);
});
