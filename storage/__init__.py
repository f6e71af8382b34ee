"""What must not be lost: one SQL database (SQLite or PostgreSQL) and a store of blobs.

Plain functions of a Session, a module a subject; helpers never commit, the use case owns the transaction
(`database.Database.run`). Rows stay inside; frozen values go out. Knows nothing of chat or of models.
"""
