"""Templated word problems: does tuning carry over to other templates, and what do samples buy?"""
