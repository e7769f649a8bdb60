"""The data model of a run: runs, steps, messages, tool calls and their deltas, as frozen Structs; no I/O, no Rx.

The other modules of this folder are the types that pass between the stages: raw items, events, signals, limits.
"""

from __future__ import annotations

from runstream.model.exports import export

NAMES = {
    "runstream.model.actions": (
        "ActionCall CallsAction RequiredAction SubmitToolApproval SubmitToolApprovalAction SubmitToolOutputs "
        "SubmitToolOutputsAction UnknownAction"
    ),
    "runstream.model.common": (
        "CompletionTokensDetails ErrorObject LastError OpenStrEnum PromptTokensDetails Tagged Timestamp Usage"
    ),
    "runstream.model.deltas": (
        "CodeInterpreterCallDelta CodeInterpreterToolCallDelta ContentPartDelta FileSearchCallDelta "
        "FileSearchToolCallDelta Fragment FunctionCallDelta FunctionToolCallDelta GenericToolCallDelta "
        "ImageFilePartDelta ImageUrlPartDelta McpToolCallDelta MessageCreationDelta MessageDelta MessageDeltaBody "
        "ReasoningDetailsDelta ReasoningPartDelta RefusalPartDelta RunStepDelta RunStepDeltaBody StepDetailsDelta "
        "TextContentDelta TextPartDelta ToolCallDelta ToolCallsDelta UnknownDelta"
    ),
    "runstream.model.frozen": "FrozenList FrozenMap StringMap",
    "runstream.model.lenient": "Unknown WireStruct",  # of model/base.py, with the reader that `from_json` needs
    "runstream.model.message": (
        "Annotation Attachment ContentPart FileCitation FileCitationAnnotation FilePath FilePathAnnotation "
        "ImageFilePart ImageUrl ImageUrlPart Message MessageStatus RefusalPart TextContent TextPart Thread "
        "UnknownAnnotation UnknownPart UrlCitation UrlCitationAnnotation"
    ),
    "runstream.model.run": "IncompleteDetails Run RunStatus",
    "runstream.model.step": (
        "ActivitiesDetails Activity LabelDetails MessageCreation MessageCreationDetails ReasoningDetails "
        "ReasoningPart RunStep StepDetails StepStatus SubagentDetails ToolCallsDetails UnknownDetails"
    ),
    "runstream.model.tool_calls": (
        "CodeInterpreterCall CodeInterpreterToolCall CodeOutput ConnectedAgentCall ConnectedAgentToolCall "
        "FileSearchCall FileSearchResult FileSearchToolCall FunctionCall FunctionToolCall GenericToolCall "
        "ImageFileRef ImageOutput LogsOutput McpToolCall ToolCall UnknownOutput UnknownToolCall parse_arguments"
    ),
    "runstream.model.tools": (
        "CodeInterpreterTool ConnectedAgentDefinition ConnectedAgentTool FileSearchSettings FileSearchTool "
        "FunctionDefinition FunctionTool JsonObjectFormat JsonSchemaDefinition JsonSchemaFormat McpTool "
        "NamedFunction NamedToolChoice RankingOptions ResponseFormat TextFormat Tool ToolChoice "
        "TruncationStrategy UnknownFormat UnknownTool"
    ),
}
"""The public names, by module; the stub ``__init__.pyi`` is generated from this table."""

MODULE_OF, __getattr__, __dir__ = export(__name__, NAMES, {})

__all__ = sorted(MODULE_OF)  # noqa: PLE0605 - the names stand in the table
