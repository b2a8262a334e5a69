"""Models that run on this machine: weights served by a process that memeval starts, or loaded into this one.

weights.py      which files the name of a local model means, and the digest that names them
lasting.py      keeps servers and loaded weights open from run to run
vllm_model.py   a model behind `vllm serve`: vllm_server.py is the process, guardian.py what ends it always
hf.py           a model in this process: hf_loading.py, sampling.py, generation.py, and the thread of worker.py
hf_embedder.py  an embedding model in this process
"""
