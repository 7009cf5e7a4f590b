/**
 * The consul agent of the config file (`consulAddr`), as the URL that the node asks. Pure.
 */

/** Where an agent takes registrations (`admin.md` 11.2). */
const REGISTER_PATH = '/v1/agent/service/register';

/**
 * The URL of a registration: `text` is a base URL, with a path or without, or `host:port`, which stands for `http://host:port`. Null: it is neither.
 */
export function consulRegisterUrl(text: string): URL | null {
  const base = text.includes('://') ? text : `http://${text}`;
  if (!/^https?:\/\//i.test(base) || /[\s\\?#]/.test(base) || !URL.canParse(base)) return null;
  const url = new URL(base);
  url.pathname = `${url.pathname.replace(/\/+$/, '')}${REGISTER_PATH}`;
  return url;
}
