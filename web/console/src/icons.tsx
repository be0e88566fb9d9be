// Drawn by hand in a box of 20, one stroke wide; meaning is always beside them in words.
const shapes = {
  brand: 'M3 4h14l-5 6.5V16l-4-2v-3.5z',
  overview: 'M3 3h6v6H3zM11 3h6v4h-6zM11 9h6v8h-6zM3 11h6v6H3z',
  funnels: 'M2 4h16l-6 7v6l-4-2v-4z',
  requests: 'M3 4h14v10H9l-4 3v-3H3zM7 8h6M7 11h4',
  machines: 'M3 3h14v6H3zM3 11h14v6H3zM6 6h.01M6 14h.01M9 6h5M9 14h5',
  access: 'M10 2l7 3v5c0 4-3 7-7 8-4-1-7-4-7-8V5zM7 10l2 2 4-4',
  users: 'M7 9a3 3 0 100-6 3 3 0 000 6zM2 17c0-3 2-5 5-5s5 2 5 5M13 9a2.500 2.500 0 100-5M14 12c2.500 0 4 2 4 4.500',
  logs: 'M4 3h12v14H4zM7 7h6M7 10h6M7 13h4',
  settings: 'M3 6h8M15 6h2M3 14h2M9 14h8M13 4v4M7 12v4',
} as const;

export type IconName = Exclude<keyof typeof shapes, 'brand'>;

export const Icon = ({ name }: { name: keyof typeof shapes }) => (
  <svg class={`icon ${name}`} viewBox="0 0 20 20" aria-hidden="true" focusable="false"><path d={shapes[name]} /></svg>
);
