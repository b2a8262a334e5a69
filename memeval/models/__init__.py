"""Language models, and the path of a call to one.

    agent ─► bound ─► gateway ─► endpoint ─► socket
             role,    window,    limiter,
             ledger   key,       body and reply
                      store,
                      budget

bound      (bound.py) is the model as an agent holds it: it adds what the user set for its role, and books the reply,
           once, in the ledger of the step that is running (usage.py; call_facts.py: what the notes must know of the call).
gateway    (gateway.py) answers a call from a store or from an equal call in flight (store.py), checks the window
           (window.py) and the budget (budget.py), and commits a fresh reply before it hands it out. It is in the driver.
endpoint   (endpoint.py) sends the body that this server takes when the limiter lets it (limits.py, places.py), and reads
           what comes back (reply.py, toolcalls.py). Like litellm's models it is Adaptive (adaptive.py, body.py), which
           changes what a server refuses, and Thinking (thinking.py), which gives a model that thinks its larger limit.
socket     is aiohttp's, with the proxies, certificates and headers of the environment (transport.py).

Data and names:
completion.py       Request, Completion, ToolCall, ModelSpec; call_json.py: the key of a call, and how a body is written
registry.py         what a model's name means; providers.py: the table of providers; parameters.py: what a role may say
calls.py            the settings that all calls of a command share
keys.py             where keys are read, and how they are kept out of all that is written; prices.py: what tokens cost
served.py           what a server lists; model_names.py: whether two names are of one model; probe.py: checks before a run

What servers do differently is data:
rules.py            tables of refusals, finish reasons, spellings of tool calls, names in them, switches of thinking
                    (_data/servers.yaml)
faults.py           what an error means for one attempt, one call, all calls; streamed.py: streamed replies put together

Other models behind the gateway:
offline/            a rule-based model that needs no key, GPU or network; tiny.py: the models of the toy language;
                    scripted.py: replies for tests
litellm_model.py    every provider that litellm knows; embeddings.py: vectors
local/              models on this machine: `hf/` in this process, `vllm/` behind a server that memeval starts
proxy/              an OpenAI-compatible endpoint in front of the models of a run, for agents in other processes
"""
