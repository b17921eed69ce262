"""The admin port: what operators and their tools see of the relay, by HTTP.

server   listens while the relay serves; imports the rest when it is needed
source   what is asked for the answers
guard    who may ask: host names against DNS rebinding, a token; headers of every answer
answers  /livez /readyz /metrics /status, and the page
http     starlette and uvicorn, held to limits, on the relay's own event loop
page     the status page at /
ask      the other side: asks a relay whether it is ready
"""
