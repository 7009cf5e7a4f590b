/**
 * Start, signals and stop: every order in which they can meet, with injected signals and end.
 */
import { EventEmitter } from 'node:events';
import t from 'tap';
import { runUntilSignal, type Stoppable } from '../../src/cli/lifecycle.js';
import { StopSignals } from '../../src/cli/stopSignals.js';

/** A node whose start and stop the test ends, and everything that the lifecycle said. */
class Scene {
  readonly signals = new EventEmitter();
  readonly said: string[] = [];
  ended: number | null = null;
  stops = 0;
  startSignal: AbortSignal | null = null;
  resolveStart = (): void => {};
  rejectStart: (error: Error) => void = () => {};
  stopResult: Promise<void> = Promise.resolve();
  readonly outcome: Promise<number>;

  constructor(deadlineMs = 60_000) {
    const node: Stoppable = {
      stop: () => {
        this.stops += 1;
        return this.stopResult;
      },
    };
    this.outcome = runUntilSignal({
      start: (signal) => {
        this.startSignal = signal;
        return new Promise<Stoppable>((resolve, reject) => {
          this.resolveStart = () => resolve(node);
          this.rejectStart = reject;
        });
      },
      onReady: async () => void this.said.push('ready'),
      onStartFailed: async (error) => void this.said.push(`failed ${(error as Error).message}`),
      announce: (line) => void this.said.push(line),
      signals: new StopSignals(this.signals),
      deadlineMs,
      endNow: (exitCode) => {
        this.ended = exitCode;
      },
    });
  }
}

t.test('started, signalled, stopped: 0', async (t) => {
  const scene = new Scene();
  scene.resolveStart();
  await new Promise((resolve) => setImmediate(resolve));
  scene.signals.emit('SIGTERM', 'SIGTERM');
  t.equal(await scene.outcome, 0);
  t.strictSame(scene.said, ['ready', 'SIGTERM: stopping']);
  t.equal(scene.stops, 1);
});

t.test('a start that fails: 1', async (t) => {
  const scene = new Scene();
  scene.rejectStart(new Error('no disk'));
  t.equal(await scene.outcome, 1);
  t.strictSame(scene.said, ['failed no disk']);
});

t.test('a signal during the start aborts it: 0, whether the start gives up or finishes', async (t) => {
  const givesUp = new Scene();
  givesUp.signals.emit('SIGINT', 'SIGINT');
  t.equal(givesUp.startSignal?.aborted, true);
  givesUp.rejectStart(new Error('aborted'));
  t.equal(await givesUp.outcome, 0);
  t.strictSame(givesUp.said, ['SIGINT: stopping']);
  const finishes = new Scene();
  finishes.signals.emit('SIGINT', 'SIGINT');
  finishes.resolveStart();
  t.equal(await finishes.outcome, 0);
  t.strictSame(finishes.said, ['SIGINT: stopping'], 'it is not called ready');
  t.equal(finishes.stops, 1);
});

t.test('what hangs is ended by the deadline with 0', async (t) => {
  const scene = new Scene(5);
  scene.signals.emit('SIGTERM', 'SIGTERM');
  for (let tries = 0; scene.ended === null && tries < 10_000; tries += 1) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  t.equal(scene.ended, 0);
  t.match(scene.said.at(-1), /^not stopped after 5 ms/);
});

t.test('a second signal changes nothing', async (t) => {
  const scene = new Scene();
  scene.resolveStart();
  await new Promise((resolve) => setImmediate(resolve));
  let finishStop = (): void => {};
  scene.stopResult = new Promise((resolve) => {
    finishStop = resolve;
  });
  for (const name of ['SIGINT', 'SIGINT', 'SIGTERM']) scene.signals.emit(name, name);
  await new Promise((resolve) => setImmediate(resolve));
  finishStop();
  t.equal(await scene.outcome, 0);
  t.equal(scene.stops, 1);
  t.equal(scene.ended, null);
  t.strictSame(scene.said, ['ready', 'SIGINT: stopping']);
});

t.test('a stop that fails: 1, and it is said', async (t) => {
  const scene = new Scene();
  scene.resolveStart();
  await new Promise((resolve) => setImmediate(resolve));
  scene.stopResult = Promise.reject(new Error('sync failed'));
  scene.signals.emit('SIGTERM', 'SIGTERM');
  t.equal(await scene.outcome, 1);
  t.equal(scene.said.at(-1), 'stop failed: sync failed');
});

t.test('a signal that came before anybody could act is not lost', async (t) => {
  const source = new EventEmitter();
  const signals = new StopSignals(source);
  source.emit('SIGINT');
  source.emit('SIGTERM');
  const seen: string[] = [];
  signals.onFirst((name) => seen.push(name));
  source.emit('SIGTERM');
  t.strictSame(seen, ['SIGINT'], 'the first one, once');
});
