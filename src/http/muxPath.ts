/**
 * Which path a request asks for, as the reference's request multiplexer reads it: percent escapes are decoded, and a path with `//`, `.` or `..` is
 * redirected to the clean one. Pure; used by `api.ts`.
 */
import { type HttpRequest, type HttpResponse, plain } from './httpServer.js';

export type MuxPath =
  | { readonly kind: 'path'; readonly path: string }
  | { readonly kind: 'reply'; readonly response: HttpResponse };

/** The path to look up, or the answer that needs no look-up. */
export function muxPath(request: Pick<HttpRequest, 'method' | 'path' | 'query'>): MuxPath {
  const decoded = decode(request.path);
  if (decoded === null) return { kind: 'reply', response: plain(400, '400 Bad Request') };
  if (request.method === 'CONNECT') return { kind: 'path', path: decoded };
  const clean = cleanPath(decoded);
  if (clean === decoded) return { kind: 'path', path: decoded };
  return { kind: 'reply', response: redirect(request, clean) };
}

function decode(path: string): string | null {
  if (!path.includes('%')) return path;
  try {
    return decodeURIComponent(path);
  } catch {
    return null;
  }
}

/** Begins with a slash, has no empty part and no dots; a slash at the end stays. */
function cleanPath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  const clean = `/${parts.join('/')}`;
  return path.endsWith('/') && clean !== '/' ? `${clean}/` : clean;
}

function redirect({ method, query }: Pick<HttpRequest, 'method' | 'query'>, path: string): HttpResponse {
  // The query goes back as it came, but for bytes that have no place in a header.
  const rest = query.replace(/[^\x21-\x7e]/g, (character) => encodeURIComponent(character));
  const location = encodeURI(path) + (rest === '' ? '' : `?${rest}`);
  const shown = location.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
  return {
    status: 301,
    contentType: 'text/html; charset=utf-8',
    headers: { Location: location },
    body: method === 'GET' || method === 'HEAD' ? `<a href="${shown}">Moved Permanently</a>.\n\n` : '',
  };
}
