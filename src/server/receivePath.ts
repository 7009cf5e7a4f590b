/**
 * How bytes get from an accepted socket to a `Connection`: Node's `onread` hook with our own buffers, or, where that does not work, 'data' events.
 *
 * `onread` halves the CPU of a received byte, but Node offers it to connecting sockets only; accepted ones have to be taken with `pauseOnConnect` and wrapped
 * again around their handle, which no documentation promises. So a self-test at start proves it on this Node, and 'data' is the fallback.
 */

import { once } from 'node:events';
import net, { type Socket } from 'node:net';

/** Bytes into a connection; false: stop reading. `nextBuffer` says where the next ones go. */
export interface Receiver {
  nextBuffer(): Buffer;
  received(count: number, buffer: Uint8Array): boolean;
}

/** An accepted socket whose handle can be taken over. */
interface WithHandle {
  _handle: unknown;
}

const SELF_TEST_MS = 2_000;

/**
 * Takes over the handle of an accepted, paused socket; bytes go to `receiver`, the first ones in `firstBuffer`, which Node asks for before the socket exists. The
 * returned socket has not begun to read: call `resume`.
 */
export function wrapAccepted(
  accepted: Socket,
  firstBuffer: Buffer,
  makeReceiver: (socket: Socket) => Receiver,
): Socket {
  const shell = accepted as unknown as WithHandle;
  const handle = shell._handle;
  shell._handle = null;
  let receiver: Receiver | null = null;
  // `handle` and `onread` together are accepted by the constructor although the types know only one of them.
  const options = {
    handle,
    allowHalfOpen: true,
    onread: {
      buffer: () => receiver?.nextBuffer() ?? firstBuffer,
      callback: (count: number, buffer: Uint8Array) => receiver!.received(count, buffer),
    },
  };
  const socket = new net.Socket(options as unknown as net.SocketConstructorOpts);
  receiver = makeReceiver(socket);
  return socket;
}

/** The fallback: bytes of an accepted socket by 'data' events. */
export function attachData(socket: Socket, receiver: Receiver): void {
  socket.on('data', (chunk: Buffer) => {
    if (!receiver.received(chunk.length, chunk)) socket.pause();
  });
}

/** Whether `wrapAccepted` works on this Node: bytes arrive in our buffer, both ways, within a bound. */
export async function onreadWorks(): Promise<boolean> {
  const server = net.createServer({ pauseOnConnect: true });
  const client = new net.Socket();
  try {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address() as net.AddressInfo;
    const echoed = new Promise<boolean>((resolve) => {
      setTimeout(() => resolve(false), SELF_TEST_MS).unref();
      server.on('connection', (accepted) => {
        const buffer = Buffer.alloc(64);
        const wrapped = wrapAccepted(accepted, buffer, (socket) => ({
          nextBuffer: () => buffer,
          received: (count, into) => {
            socket.end(Buffer.from(into.subarray(0, count)));
            return into === buffer;
          },
        }));
        wrapped.on('error', () => resolve(false));
        wrapped.resume();
      });
      client.on('data', (data) => resolve(data.toString() === 'self-test'));
      client.on('error', () => resolve(false));
    });
    client.connect(address.port, '127.0.0.1', () => client.write('self-test'));
    return await echoed;
  } catch {
    return false;
  } finally {
    client.destroy();
    server.close();
  }
}
