/** Small HTTP clients for tests: whole responses with the head as sent, and connections on which a test writes what it likes. */
import { request as httpRequest } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { Test } from 'tap';

export interface Reply {
  status: number;
  contentType: string;
  text: string;
}

export function fetchText(
  port: number,
  path: string,
  options: { method?: string; body?: string; contentType?: string } = {},
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const headers: Record<string, string | number> = {
      'Content-Length': Buffer.byteLength(options.body ?? ''),
    };
    if (options.contentType !== undefined) headers['Content-Type'] = options.contentType;
    const outgoing = httpRequest({
      host: '127.0.0.1',
      port,
      path,
      method: options.method ?? 'GET',
      agent: false,
      headers,
    });
    outgoing.on('error', reject);
    outgoing.on('response', (reply) => {
      const chunks: Buffer[] = [];
      reply.on('data', (chunk) => chunks.push(chunk));
      reply.on('error', reject);
      reply.on('end', () =>
        resolve({
          status: reply.statusCode ?? 0,
          contentType: reply.headers['content-type'] ?? '',
          text: Buffer.concat(chunks).toString(),
        }),
      );
    });
    outgoing.end(options.body);
  });
}

/** A connection that says what it is told to; closed with the test. */
export function openSocket(test: Pick<Test, 'teardown'>, port: number): Socket {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  socket.on('error', () => {});
  socket.on('end', () => socket.end());
  test.teardown(() => socket.destroy());
  return socket;
}

/** All bytes until the peer closes. */
export function untilClosed(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
    });
    socket.on('close', () => resolve(text));
  });
}

/** Bytes until they match; rejects when the connection ends first. */
export function untilText(socket: Socket, pattern: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const take = (chunk: Buffer): void => {
      text += chunk.toString('latin1');
      if (!pattern.test(text)) return;
      socket.off('data', take);
      socket.off('close', ended);
      resolve(text);
    };
    const ended = (): void => reject(new Error(`the connection ended after ${JSON.stringify(text)}`));
    socket.on('data', take);
    socket.once('close', ended);
  });
}
