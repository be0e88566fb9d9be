/* Plain CSS and a few lines of script; pages work without the script. */
#include "web/assets.h"

const char web_style_css[] =
    ":root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#16181d;--dim:#5b6270;--line:#d9dde4;--accent:#1f5fd6;"
    "--on:#fff;--bad:#b3261e;--add:#e3f5e6;--del:#fbe4e2}\n"
    "@media (prefers-color-scheme:dark){:root{--bg:#111318;--card:#1a1d24;--ink:#e8eaf0;--dim:#9aa2b1;--line:#2e333d;"
    "--accent:#86adff;--on:#0c1530;--bad:#ff8a80;--add:#16331d;--del:#3c1b1a}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,sans-serif}\n"
    "main{max-width:44rem;margin:0 auto;padding:1.5rem 1rem 4rem}\n"
    "header{max-width:44rem;margin:0 auto;padding:1rem;display:flex;justify-content:space-between;align-items:center;"
    "color:var(--dim)}\n"
    "header .home{color:var(--ink);font-weight:700;text-decoration:none}a{color:var(--accent)}time{white-space:nowrap}\n"
    "h1{font-size:1.35rem;line-height:1.3;margin:.2rem 0 1rem}h2{font-size:1rem;margin:1.6rem 0 .5rem}h1,p,li{overflow-wrap:anywhere}\n"
    ".card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:1.25rem;margin:0 0 1rem}"
    ".card>:first-child{margin-top:0}.narrow{max-width:26rem;margin:1rem auto}\n"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:.3rem 1rem;margin:0}dt{color:var(--dim)}dd{margin:0;"
    "overflow-wrap:anywhere}\n"
    ".code{font:700 1.6rem/1.2 ui-monospace,monospace;letter-spacing:.08em}\n"
    "pre{overflow-x:auto;background:var(--bg);border:1px solid var(--line);border-radius:8px;padding:.6rem;margin:.5rem 0;"
    "font:13px/1.45 ui-monospace,monospace}\n"
    "pre{tab-size:4}.diff code{display:inline-block;min-width:100%;font:inherit}.diff span{display:block;white-space:pre}.add{background:var(--add)}.del{background:var(--del)}.hunk{color:var(--dim)}\n"
    "label{display:block;margin:.8rem 0 .25rem}.choice{display:flex;gap:.6rem;align-items:baseline}\n"
    "input[type=text],input[type=password]{width:100%;font:inherit;padding:.6rem .7rem;border:1px solid var(--line);"
    "border-radius:8px;background:var(--bg);color:var(--ink)}\n"
    "button{font:inherit;font-weight:600;padding:.65rem 1.2rem;border-radius:8px;border:1px solid var(--accent);"
    "background:var(--accent);color:var(--on);cursor:pointer}\n"
    "button.quiet{background:transparent;color:var(--bad);border-color:var(--bad)}\n"
    "button.link{background:none;border:0;color:var(--dim);padding:.3rem;font-weight:400;text-decoration:underline}\n"
    ":focus-visible{outline:3px solid var(--accent);outline-offset:2px}\n"
    ".row{display:flex;flex-wrap:wrap;gap:.75rem;align-items:center;margin-top:1.2rem}\n"
    ".bad{color:var(--bad);font-weight:600}.dim{color:var(--dim)}\n"
    "table{width:100%;border-collapse:collapse}th,td{text-align:left;padding:.45rem .5rem .45rem 0;border-bottom:1px solid "
    "var(--line);overflow-wrap:anywhere}th{color:var(--dim);font-weight:500}\n"
    "@media (max-width:30rem){h1{font-size:1.15rem}dl{grid-template-columns:1fr;gap:0}dd{margin:0 0 .5rem}th{display:none}td{display:block;"
    "border:0;padding:.1rem 0}tr{display:block;padding:.5rem 0;border-bottom:1px solid var(--line)}}\n";

/* The code stands in the fragment of the link, which no server sees. */
const char web_setup_js[] =
    "const code=location.hash.slice(1);const field=document.getElementById('code');\n"
    "if(code&&field&&!field.value){field.value=code;history.replaceState(null,'','/setup');}\n";
