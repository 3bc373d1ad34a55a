using System.Text.Json;
using Flotilla.Contracts.Http;

namespace Flotilla.Client;

/// <summary>Answers that are no success.</summary>
internal static class ProblemAnswer
{
    /// <summary>The problem that an answer holds; null if it holds none.</summary>
    /// <exception cref="JsonException">It begins like one and is none.</exception>
    public static Problem? Of(Http1Response response) =>
        response.Body.Span.TrimStart(" \r\n\t"u8) is [(byte)'{', ..] ? JsonSerializer.Deserialize(response.Body.Span, DocumentsJson.Default.Problem) : null;

    /// <summary>What went wrong, by the problem, or else by the status.</summary>
    public static CallError ErrorOf(Http1Response response, Problem? problem) => new(
        problem?.Code ?? response.Status switch
        {
            404 => "not_found",
            412 => "version_mismatch",
            413 => "too_large",
            429 => "overloaded",
            503 => "no_quorum",
            504 => "indeterminate",
            _ => $"http_{response.Status}",
        },
        problem?.Detail ?? problem?.Title ?? $"the server answered {response.Status}",
        response.Status)
    {
        Shards = problem?.Shards ?? [],
    };
}
