"""Tools for testing what speaks to speech providers. Public: an adapter or a bot of your own may use them.

::

    fake_provider, scenarios, script   a provider with scripted faults; run_fake: the same as a program (`relay fake`)
    fake_socket, fake_breeze           a provider that takes text over a WebSocket
    conformance                        what every codec, provider, driver, wire protocol and store has to keep
    clock                              an event loop whose time jumps
    audio, cuts                        test signals, and ways to cut bytes

Nothing here is imported by the relay itself.
"""
