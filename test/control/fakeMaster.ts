/** A master that takes calls down and answers as told, for tests of the control plane. */
import type { MasterOutcome } from '../../src/control/masterCall.js';
import type { MasterCaller, MasterRequest } from '../../src/control/masterClient.js';

export class FakeMaster implements MasterCaller {
  readonly requests: (Omit<MasterRequest, 'body'> & { body: string })[] = [];
  outcome: (signal: AbortSignal) => Promise<MasterOutcome> = async () => ({ ok: true, data: '200' });

  call(request: MasterRequest, signal: AbortSignal): Promise<MasterOutcome> {
    const { body = '' } = request;
    const pieces = typeof body === 'string' || body instanceof Uint8Array ? [body] : body;
    const text = pieces.map((piece) => Buffer.from(piece).toString()).join('');
    this.requests.push({ ...request, body: text });
    return this.outcome(signal);
  }
}
