"""The page a reader sees: one image, three questions, all usable by keyboard, touch and screen reader.

The image stays in view while one scrolls through the questions: above them on a phone, else beside them.
"""

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Reader study</title>
<style>
:root{color-scheme:light dark;--page:#fff;--text:#111}
*{box-sizing:border-box}
[hidden]{display:none!important}
body{font:18px/1.5 system-ui,sans-serif;margin:0 auto;max-width:60rem;padding:1rem;
color:var(--text);background:var(--page)}
main{display:flex;flex-wrap:wrap;align-items:flex-start;gap:1.5rem}
#frame{position:sticky;top:0;z-index:1;padding:.5rem 0;background:var(--page)}
img{display:block;width:min(45vw,26rem,100vh - 1rem);aspect-ratio:1;border:1px solid #555}
form{flex:1;min-width:min(16rem,100%)}
fieldset{border:1px solid #777;margin:0 0 1rem;padding:.5rem 1rem}
fieldset:focus-within{outline:3px solid #0b57d0}
label{display:flex;align-items:center;gap:.6rem;min-height:44px;cursor:pointer}
input[type=radio]{flex:none;width:22px;height:22px}
kbd{border:1px solid #777;border-radius:4px;padding:0 .4rem;background:#f3f3f3}
button,input[type=text]{font:inherit;min-height:44px;max-width:100%;padding:0 1rem}
@media (max-width:600px){
html{scroll-padding-top:min(46vh,100vw)}
body{padding:0 .75rem .75rem}
main,#who label{display:block}
#frame{margin:0 -.75rem}
img{width:min(100%,44vh);margin:auto}
.choices{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));column-gap:.5rem;overflow-wrap:anywhere}
fieldset{padding:.25rem .5rem;line-height:1.2}
#next,#who button,#who input{width:100%;margin:.25rem 0}}
@media (max-width:600px),(max-height:500px){body[data-state] :is(h1,#status){font-size:1rem;margin:.25rem 0}}
@media (hover:none){kbd{display:none}}
@media (prefers-color-scheme:dark){:root{--page:#111;--text:#eee}kbd{background:#333}
fieldset:focus-within{outline-color:#8ab4f8}}
</style></head><body>
<h1 id="title">Reader study</h1>
<p id="status" role="status" aria-live="polite"></p>
<section id="start">
<p>You will see images one at a time. For each one say how real it looks, what it shows and which skin type.
Every answer is saved at once; you can stop and resume under the same name.
Touch an answer, press the key shown next to it, or use Tab, arrows and Enter.</p>
<form id="who"><label for="reader">Your name or code (letters, digits, - and _)</label>
<input id="reader" type="text" required pattern="[A-Za-z0-9_\\-]{1,40}" autocomplete="off">
<button>Begin</button></form>
</section>
<main id="reading" hidden><div id="frame"><img id="image" alt=""></div><form id="answers" autocomplete="off">
<div id="questions"></div><button id="next" type="submit">Save and continue</button></form></main>
<script src="/script.js"></script></body></html>
"""

SCRIPT = """'use strict';
const KEYS = '123456789abcdefghijklmnopqrstuvwxyz';
const $ = id => document.getElementById(id);
let study, reader, left, shown, saving = false;
const questions = () => [['realism', 'How real does it look?', study.realism],
  ['diagnosis', 'What does it show?', study.diagnoses], ['group', 'Which skin type?', study.groups]];
function build() {
  $('questions').replaceChildren(...questions().map(([name, text, choices]) => {
    const set = document.createElement('fieldset'), legend = document.createElement('legend');
    const list = document.createElement('div');
    legend.textContent = text; set.dataset.name = name; list.className = 'choices'; set.append(legend, list);
    choices.forEach((choice, i) => {
      const label = document.createElement('label'), input = document.createElement('input');
      const key = document.createElement('kbd');
      Object.assign(input, {type: 'radio', name, value: choice, required: true});
      key.textContent = KEYS[i] || ''; key.setAttribute('aria-hidden', 'true');
      label.append(input, key, document.createTextNode(choice.replaceAll('_', ' '))); list.append(label);
    });
    return set;
  }));
}
function show() {
  const done = study.items.length - left.length;
  if (!left.length) {
    $('reading').hidden = true;
    $('status').textContent = `All ${study.items.length} images are read. Thank you; you may close this page.`;
    document.body.dataset.state = 'done';
    return;
  }
  $('answers').reset();
  const image = $('image');
  image.alt = `Image ${done + 1} of ${study.items.length}`;
  image.src = `/images/${left[0]}.png`;
  $('status').textContent = `Image ${done + 1} of ${study.items.length}`;
  document.body.dataset.state = `item-${left[0]}`;
  shown = performance.now();
  $('questions').querySelector('input').focus({preventScroll: true});
  scrollTo(0, 0);
}
async function ask(address, options) {
  try {
    const reply = await fetch(address, options);
    return [reply.ok, await reply.text()];
  } catch { return [false, 'the study is no longer served; start it again, then continue here']; }
}
async function begin(name) {
  const [good, text] = await ask(`/study?reader=${encodeURIComponent(name)}`);
  if (!good) { $('status').textContent = text; return; }
  study = JSON.parse(text); reader = name;
  left = study.items.filter(item => !study.answered.includes(item));
  $('start').hidden = true; $('reading').hidden = false;
  build(); show();
}
async function save() {
  if (saving) return;  // a second Enter before the answer is on disk would skip the next image
  saving = true;
  const data = Object.fromEntries(new FormData($('answers')));
  const body = {reader, item: left[0], ...data, seconds: (performance.now() - shown) / 1000};
  const [good, text] = await ask('/answer', {method: 'POST', headers: {'Content-Type': 'application/json'},
    body: JSON.stringify(body)});
  saving = false;
  if (!good) { $('status').textContent = 'Not saved: ' + text; return; }
  left.shift(); show();
}
$('who').addEventListener('submit', event => { event.preventDefault(); begin($('reader').value); });
$('answers').addEventListener('submit', event => { event.preventDefault(); save(); });
document.addEventListener('keydown', event => {
  if ($('reading').hidden || event.ctrlKey || event.metaKey || event.altKey) return;
  const sets = [...$('questions').children];
  if (event.key === 'Enter' && sets.every(s => s.querySelector(':checked'))) {
    event.preventDefault(); $('answers').requestSubmit(); return;
  }
  const current = document.activeElement.closest('fieldset') || sets.find(s => !s.querySelector(':checked'));
  const input = current && current.querySelectorAll('input')[KEYS.indexOf(event.key.toLowerCase())];
  if (!input || event.key.length !== 1) return;
  event.preventDefault(); input.checked = true;
  const next = sets[sets.indexOf(current) + 1];
  if (next) (next.querySelector(':checked') || next.querySelector('input')).focus(); else $('next').focus();
});
"""
