/** What the listener tells of its peers, as lines of the log whose rate is bounded. */
import { nameOf } from '../protocol/opcodes.js';
import { resultName } from '../protocol/resultCodes.js';
import type { RateLimitedLog } from '../telemetry/rateLimitedLog.js';
import type { ListenerEvents } from './listener.js';

/** Writes to `log`. */
export function listenerLog(log: RateLimitedLog): ListenerEvents {
  return {
    refused: (reason) => log.write('warn', 'refused', 'connection refused', { reason }),
    closed: (remote, reason) => log.write('warn', 'closed', 'connection closed', { remote, reason }),
    failed: (remote, { opcode, resultCode, text, ...ids }) =>
      log.write('warn', 'failed', 'packet answered with an error', {
        remote,
        op: nameOf(opcode),
        result: resultName(resultCode),
        text,
        ...ids,
      }),
    connectionNotAdmitted: (remote, count) =>
      log.write('warn', 'connection not admitted', 'connection not admitted', { remote, count }),
    packetNotAdmitted: (remote, { opcode, requestId, partitionId, text }, count) =>
      log.write('warn', 'packet not admitted', 'packet not admitted', {
        ...{ remote, op: nameOf(opcode), requestId, partitionId, text, count },
      }),
  };
}
