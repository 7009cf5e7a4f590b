/** A small HTTP client for tests: whole responses with the head as sent. */
import { request as httpRequest } from 'node:http';

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
