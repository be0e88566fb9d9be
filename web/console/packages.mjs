// packages.mjs NPM: installs what the build needs, exactly as the lock file says, unless it is there already.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const wanted = createHash('sha256').update(readFileSync(join(here, 'package-lock.json'))).digest('hex');
const stamp = join(here, 'node_modules/.installed');

if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== wanted) {
  // No scripts of other people run at build time; esbuild's program comes as a package of its own.
  const done = spawnSync(process.argv[2] ?? 'npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'],
    { cwd: here, stdio: 'inherit' });
  if (done.status !== 0) {
    console.error('console: npm ci failed in web/console: it needs the package registry once');
    process.exit(1);
  }
  writeFileSync(stamp, wanted);
}
