import os

pytest_plugins = ["pytester"]

# What the exercises' checks remember belongs to a learner: the tests, and the kernels that they
# start, remember nothing.
os.environ["KAIZEN_STORE_PROGRESS"] = os.devnull
