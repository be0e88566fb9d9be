// Texts from flat catalogues. "{name}" is filled in; with `n` the key's form ".one", ".other", … is taken by the language's
// own plural rules. Dates and numbers come from Intl in the same language.
import type en from './locales/en.json';

export type Key = keyof typeof en;
type PluralStem<K> = K extends `${infer S}.other` ? S : never;
export type PluralKey = PluralStem<Key>;
type Values = Record<string, string | number>;

const languages = { en: () => import('./locales/en.json'), de: () => import('./locales/de.json') };
export const languageNames = { en: 'English', de: 'Deutsch' };
export type Language = keyof typeof languages;

let texts: Record<string, string> = {};
export let language: Language = 'en';
let plural = new Intl.PluralRules('en');
let relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
let number = new Intl.NumberFormat('en');
let moment = new Intl.DateTimeFormat('en');

function wanted(): Language {
  const kept = localStorage.getItem('language');
  const asked = [kept ?? '', ...navigator.languages].map((l) => l.slice(0, 2));
  return (asked.find((l) => l in languages) ?? 'en') as Language;
}

export async function loadLanguage(): Promise<void> {
  language = wanted();
  texts = (await languages[language]()).default;
  plural = new Intl.PluralRules(language);
  relative = new Intl.RelativeTimeFormat(language, { numeric: 'auto' });
  number = new Intl.NumberFormat(language);
  moment = new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'medium' });
  document.documentElement.lang = language;
}

export function chooseLanguage(l: Language): void {
  localStorage.setItem('language', l);
  location.reload();
}

function fill(text: string, values?: Values): string {
  return values ? text.replace(/\{(\w+)\}/g, (_, k: string) => String(values[k] ?? '')) : text;
}

export const t = (key: Key, values?: Values): string => fill(texts[key] ?? key, values);

export function tn(key: PluralKey, n: number, values?: Values): string {
  const text = texts[`${key}.${plural.select(n)}`] ?? texts[`${key}.other`] ?? key;
  return fill(text, { n: number.format(n), ...values });
}

/** A text for a word that the server says; the word itself where the catalogue has none. */
export const tw = (prefix: string, word: string): string => texts[`${prefix}.${word}`] ?? word;

export const num = (n: number): string => number.format(n);

const steps: [Intl.RelativeTimeFormatUnit, number][] = [['year', 31536000], ['month', 2592000], ['day', 86400],
  ['hour', 3600], ['minute', 60]];

export function ago(at: string): string {
  const s = (Date.parse(at) - Date.now()) / 1000;
  if (!Number.isFinite(s)) return at;
  for (const [unit, size] of steps) {
    if (Math.abs(s) >= size) return relative.format(Math.trunc(s / size), unit);
  }
  return relative.format(0, 'second');
}

export const when = (at: string): string => (Number.isFinite(Date.parse(at)) ? moment.format(new Date(at)) : at);
