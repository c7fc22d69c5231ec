"""Runs the parts of the test, or those that the arguments name."""

import subprocess
import sys
import time

import embedding
import faults
import forms
import leaving
import talking
from webdriver import Failed

PARTS = [part for module in (talking, faults, leaving, forms, embedding) for part in module.PARTS]

wanted = sys.argv[1:]
failures = 0
for part in PARTS:
    if wanted and part.__name__ not in wanted:
        continue
    started = time.monotonic()
    try:
        part()
        print(f"done    {part.__name__} in {time.monotonic() - started:.1f} s", flush=True)
    except (Failed, OSError, subprocess.SubprocessError) as failure:
        failures += 1
        print(f"FAILED  {part.__name__}: {failure}", flush=True)
sys.exit(failures > 0)
