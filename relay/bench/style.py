"""How a report looks: one style for light, dark, wide and narrow, with nothing loaded from elsewhere. Pure."""

__all__ = ["STYLE"]

STYLE = """
:root{color-scheme:light dark;--page:#fff;--ink:#1b1d21;--soft:#667080;--rule:#dfe3e8;--card:#f6f7f9;--bad:#b3261e;
--c0:#0b6e99;--c1:#c2541b;--c2:#4b7f2f;--c3:#7a4fa3;--c4:#a3325b;--c5:#8a6d00;--c6:#2f5fc4;--c7:#5b6570;
--s0:#7a4fa3;--s1:#c9a800;--s2:#a3325b;--s3:#8d99a6;--s4:#0b6e99;--s5:#5aa469;--s6:#d98032;--s7:#d9dde2}
@media(prefers-color-scheme:dark){:root{--page:#14161a;--ink:#e9ebee;--soft:#98a1ad;--rule:#30353c;--card:#1c1f24;
--bad:#ff8a80;--c0:#58b7e0;--c1:#f0915c;--c2:#8fc76f;--c3:#b99ae0;--c4:#ec86ac;--c5:#d9bd52;--c6:#8eb0ff;--c7:#a9b3be;
--s0:#b99ae0;--s1:#e0c84a;--s2:#ec86ac;--s3:#6d7884;--s4:#58b7e0;--s5:#86cf95;--s6:#f0a663;--s7:#3a4048}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:66rem;padding:1.5rem 1rem 4rem;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
h1{font-size:1rem;font-weight:600;color:var(--soft);margin:0}
h2{font-size:1.15rem;margin:2.5rem 0 .25rem}
p{margin:.25rem 0 .75rem;max-width:46rem}
.verdict{font-size:1.55rem;line-height:1.3;font-weight:650;margin:.35rem 0 .5rem;max-width:none;text-wrap:balance}
.soft,small{color:var(--soft)}
.bad{color:var(--bad)}text.bad{fill:var(--bad);font-size:15px;font-weight:700}
.row{display:grid;grid-template-columns:13rem 1fr 10.5rem;gap:0 1rem;align-items:center;
border-top:1px solid var(--rule);padding:.15rem 0}
.row:first-of-type{border-top:0}.axis{border:0}
.label{font-weight:550;overflow-wrap:anywhere}
.figure b{font-size:1.25rem;font-variant-numeric:tabular-nums}
.figure small{display:block;line-height:1.25}
.figure .bad{display:block}
svg{display:block;overflow:visible}
.key{display:inline-block;width:.7em;height:.7em;border-radius:50%;margin-right:.5em;background:currentColor}
.keys{list-style:none;padding:0;margin:.25rem 0 .5rem;display:flex;flex-wrap:wrap;gap:.15rem 1.1rem;color:var(--soft)}
.tick{fill:var(--soft);font-size:12px}.grid{stroke:var(--rule)}.zero{stroke:var(--ink)}
.dot{fill:currentColor;opacity:.38}.solid{opacity:1}.interval{fill:currentColor;opacity:.2}
.box{fill:none;stroke:currentColor;stroke-width:1.5}.median{stroke:currentColor;stroke-width:3}
.run{stroke:currentColor;stroke-width:2}
.limit{stroke:var(--bad);stroke-dasharray:5 4}.beyond{fill:var(--bad);opacity:.07}
.c0{color:var(--c0)}.c1{color:var(--c1)}.c2{color:var(--c2)}.c3{color:var(--c3)}
.c4{color:var(--c4)}.c5{color:var(--c5)}.c6{color:var(--c6)}.c7{color:var(--c7)}
.s0{fill:var(--s0);color:var(--s0)}.s1{fill:var(--s1);color:var(--s1)}.s2{fill:var(--s2);color:var(--s2)}
.s3{fill:var(--s3);color:var(--s3)}.s4{fill:var(--s4);color:var(--s4)}.s5{fill:var(--s5);color:var(--s5)}
.s6{fill:var(--s6);color:var(--s6)}.s7{fill:var(--s7);color:var(--s7)}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;white-space:nowrap}
th,td{text-align:right;padding:.3rem .7rem;border-bottom:1px solid var(--rule)}
th{color:var(--soft);font-weight:550}th:first-child,td:first-child{text-align:left;padding-left:0}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1.25rem;margin:.5rem 0}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
details{margin-top:2rem}summary{cursor:pointer;font-weight:600}
@media(max-width:46rem){.verdict{font-size:1.25rem}
.row{grid-template-columns:1fr max-content;padding:.5rem 0 .15rem}.row .plot{grid-row:2;grid-column:1/-1}
.figure{text-align:right}.figure small{max-width:10rem;margin-left:auto}.axis .label{display:none}.axis{padding:0}}
"""
