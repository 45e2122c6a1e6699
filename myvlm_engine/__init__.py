"""The engine: recognition, personalisation and answers behind one local HTTP service. Uses the GPU where there is one."""

import os

# torch's threads on Linux (libgomp) wait for each other by spinning. Where another program keeps a core busy they spin against it: on two
# cores a description took 6.4 to 7.9 s (3.0 s with this; 2.1 s on an idle machine, either way). Read when torch is imported.
os.environ.setdefault("GOMP_SPINCOUNT", "500")
