"""Slips: the equations of every family as programs, and every single change of them that somebody may make by mistake.

The variants of minrnn.grading.variants are mistakes that people were seen to make; slips are all others of one place.
equations.py and around.py are the data, families.py makes programs of them, program.py runs them. edits.py changes one
expression, with sums.py; generate.py changes a program, with several.py and scope.py. naming.py, misnamed.py and
misplaced.py give the code, in the terms of roles.py, words.py gives the sentence. search.py finds the slips that give a
student's numbers.
"""
