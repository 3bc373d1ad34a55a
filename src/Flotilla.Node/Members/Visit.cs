using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Flotilla.Contracts;
using Flotilla.Contracts.Http;
using Flotilla.Raft;
using Flotilla.Topology;

namespace Flotilla.Node.Members;

/// <summary>Who serves at an HTTP address, by its own word.</summary>
/// <param name="Node">Its name.</param>
/// <param name="Rpc">Its RPC address.</param>
/// <param name="OnlyShard">For a process of one shard that waits to be added: the shard.</param>
internal sealed record Visit(NodeId Node, string Rpc, ShardId? OnlyShard)
{
    /// <summary>It belongs to no cluster yet.</summary>
    public bool Waits { get; init; }

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    /// <summary>Asks. Null and a reason if nobody is there, or no node. Never throws.</summary>
    public static async Task<(Visit? Node, string Reason)> PayAsync(HostPort address)
    {
        using var http = new HttpClient { Timeout = Patience };
        try
        {
            using var answer = await http.GetAsync($"http://{address}/status");
            if (answer.StatusCode == HttpStatusCode.ServiceUnavailable)
            {
                var problem = await answer.Content.ReadFromJsonAsync(DocumentsJson.Default.Problem);
                return problem?.Node is { } waiting
                    ? (new Visit(new NodeId(waiting.Id), waiting.Rpc, waiting.Shard is { } shard ? new ShardId(shard) : null) { Waits = true }, "")
                    : (null, problem?.Detail ?? "it serves nothing");
            }

            var status = await answer.EnsureSuccessStatusCode().Content.ReadFromJsonAsync(DocumentsJson.Default.StatusDocument);
            var rpc = status?.Nodes.FirstOrDefault(node => string.Equals(node.Id, status.Node, StringComparison.Ordinal))?.Rpc;
            return rpc is { Length: > 0 } ? (new Visit(new NodeId(status!.Node), rpc, null), "") : (null, "no node of a shard answers there");
        }
        catch (Exception e) when (e is HttpRequestException or OperationCanceledException or JsonException or NotSupportedException)
        {
            return (null, e is HttpRequestException ? e.Message : "no node answers there");
        }
    }
}
