"""What each framework calls the arrays of an LSTM, verified by running it, and the code that moves them to another one.

``sides`` states each framework's convention as data, ``native`` calls it with its own arrays, ``verify`` searches
all other readings for those that agree, ``code`` writes the conversions, and ``page`` the pages in docs/.
"""
