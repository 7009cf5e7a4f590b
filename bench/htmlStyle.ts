/**
 * The style sheet of the report page: light and dark, no fonts or images from elsewhere. Only `htmlReport.ts` uses it.
 */
export const HTML_STYLE = `
:root{color-scheme:light dark;--page:#f5f6f8;--panel:#fff;--ink:#1d2430;--soft:#667085;--line:#e4e7ec;
--one:#2563eb;--two:#ea580c;--three:#0d9488;--four:#9333ea;--five:#ca8a04;--six:#db2777;--good:#15803d;--bad:#b91c1c}
@media(prefers-color-scheme:dark){:root{--page:#10141b;--panel:#181e28;--ink:#e6e9ef;--soft:#94a0b4;--line:#2a3240;
--one:#60a5fa;--two:#fb923c;--three:#2dd4bf;--four:#c084fc;--five:#facc15;--six:#f472b6;--good:#4ade80;--bad:#f87171}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1280px;padding:32px 28px 48px;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif;font-variant-numeric:tabular-nums}
h1{font-size:26px;line-height:1.25;margin:2px 0 6px;font-weight:650;letter-spacing:-.01em}
h2{font-size:15px;margin:0 0 10px;font-weight:600}
.over{margin:0;color:var(--soft);font-size:13px;letter-spacing:.06em;text-transform:uppercase}
.sub{margin:0 0 22px;color:var(--soft)}
.good,.bad{display:inline-block;margin-left:8px;padding:1px 10px;border-radius:99px;font-size:13px;border:1px solid}
.good{color:var(--good)}.bad{color:var(--bad)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(130px,1fr));gap:14px}
.card,figure,section:not(.cards){background:var(--panel);border:1px solid var(--line);border-radius:12px}
.card{padding:12px 16px;display:flex;flex-direction:column}
.card span{color:var(--soft);font-size:13px;min-height:1.5em}
.card b{font-size:25px;line-height:1.25;font-weight:650;letter-spacing:-.01em}
main{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,520px),1fr));gap:14px;margin:14px 0}
figure{margin:0;padding:16px 16px 8px;min-width:0}
figcaption{display:flex;justify-content:space-between;flex-wrap:wrap;gap:0 16px}
figcaption h2{margin:0 0 2px}
section:not(.cards){padding:16px 18px;margin:14px 0}
svg{display:block;width:100%;height:auto;overflow:visible}
svg text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:var(--soft)}
svg .note{fill:var(--ink)}
.grid{stroke:var(--line);stroke-width:1}.faint{stroke-opacity:.55}
.line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.dashed{stroke-dasharray:2 5}
.area{fill-opacity:.13}.bars{fill-opacity:.75}
.marker{stroke:var(--ink);stroke-width:1;stroke-dasharray:3 3;stroke-opacity:.6}
.hint{fill:transparent}.hint:hover{fill:var(--ink);fill-opacity:.07}
.key{margin:0;display:flex;gap:16px;color:var(--soft);font-size:13px}
.key+.key{margin-left:auto}
.key s{display:inline-block;width:18px;border-top:3px solid;vertical-align:middle;margin-right:6px}
.key s.dashed{border-top-style:dotted}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;white-space:nowrap}
th,td{padding:6px 0 6px 18px;text-align:right;border-top:1px solid var(--line)}
tr:first-child th{border-top:0;color:var(--soft);font-weight:500;font-size:13px}
th:first-child{text-align:left;padding-left:0;font-weight:600}
th s{display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:8px}
td i{color:var(--soft);font-style:normal;margin-left:4px}
.bar{width:22%;min-width:90px}td.bar u{display:block;height:12px;border-radius:4px}
ul{margin:12px 0 0;padding-left:18px;color:var(--soft);overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(250px,1fr));gap:8px 24px;margin:0}
dt{color:var(--soft);font-size:13px}dd{margin:0;overflow-wrap:anywhere}
`;
