"""Models that run on this machine: weights served by a process that memeval starts, or loaded into this one.

weights.py      which files the name of a local model means, and the digest that names them
kept_open.py    servers and loaded weights that stay open from one run of a command to the next
vllm_model.py   a model behind `vllm serve`: vllm_server.py is the process, guardian.py ends it when memeval ends
hf.py           a model in this process: hf_loading.py, sampling.py, generation.py, and the thread of worker.py
hf_embedder.py  an embedding model in this process
"""
