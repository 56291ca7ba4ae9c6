"""What the peers ask, in our words and in their documentation's shape. No other module is needed.

The simulated model knows by ``BETTER_QUERY`` and ``NO_ANSWER`` what it is asked for; everything
else it sees from the request, or takes for a question to be answered.
"""

BETTER_QUERY = "Write one better search query"
"""In every prompt that asks for a rewritten question."""
NO_ANSWER = "no_answer"
"""What Haystack's fallback is told by."""
ONE_WORD = "Reply with one word, yes or no."
"""In LlamaIndex's prompt for the relevance of a passage, which is constrained by nothing."""

GRADER = (
    "You judge whether a retrieved document is relevant to a question. Words or meaning that "
    "belong to the question make it relevant; it need not be a strict test. Give the binary score "
    "yes or no."
)
GRADED = "Retrieved document:\n\n{document}\n\nQuestion: {question}"

ANSWER = (
    "You answer questions. Use the following pieces of retrieved context. If you do not know the "
    "answer, say that you do not know. Use few sentences and be brief.\n"
    "Question: {question}\nContext: {context}\nAnswer:"
)

REWRITER = f"You improve questions for a search in a vector store. {BETTER_QUERY} and nothing else."
REWRITTEN = "Here is the question:\n\n{question}\n\nThink about what it really asks for."
IMPROVE = f"Look at this question and at what it means:\n\n{{question}}\n\n{BETTER_QUERY}:"

RELEVANCY = (
    "As a grader, decide whether a document is relevant to a question. It is relevant if its words "
    "or its meaning relate to the question; leave out only what is clearly off.\n\n"
    "Document:\n{document}\n\nQuestion:\n{question}\n\n"
    f"{ONE_WORD}"
)
TRANSFORM = (
    "Make this question fit for a search: keep its core, drop what is beside it.\n\n"
    f"Question:\n{{question}}\n\n{BETTER_QUERY}, without any other words:"
)

FALLBACK = (
    "Answer the question from the documents. If they do not hold the answer, reply with "
    f"{NO_ANSWER}.\n\nQuestion: {{{{question}}}}\nDocuments:\n"
    "{% for document in documents %}{{document.content}}\n{% endfor %}"
)
"""A template of Haystack's prompt builder."""
