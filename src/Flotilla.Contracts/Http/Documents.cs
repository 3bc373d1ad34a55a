using System.Text.Json.Serialization;

namespace Flotilla.Contracts.Http;

/// <summary>Body of <c>PUT /kv/{key}</c>. Exactly one of the two values must be given.</summary>
/// <param name="Value">The value as text.</param>
/// <param name="ValueBase64">The value as base64, for bytes that are no UTF-8.</param>
/// <param name="TtlSeconds">Seconds of log time after which the record is gone; null for never.</param>
public sealed record PutRequest(string? Value, string? ValueBase64 = null, double? TtlSeconds = null);

/// <summary>Answer to a write.</summary>
public sealed record PutResponse(string? Key, string? KeyBase64, string Version);

/// <summary>Answer to a get, and one item of a listing. Keys and values that are no UTF-8 come as base64.</summary>
public sealed record RecordDocument(string? Key, string? KeyBase64, string? Value, string? ValueBase64, string Version);

/// <summary>Answer to a delete.</summary>
public sealed record DeleteResponse(string? Key, string? KeyBase64, bool Deleted);

/// <summary>Answer to <c>GET /kv</c>: an ordered page. <paramref name="Cursor"/> is null on the last one.</summary>
public sealed record ListResponse(IReadOnlyList<RecordDocument> Items, string? Cursor);

/// <summary>A key alone.</summary>
public sealed record KeyDocument(string? Key, string? KeyBase64);

/// <summary>Answer to <c>GET /kv?keys=</c>: the records that are there, in the order of their keys in the request, and the keys that are not.</summary>
public sealed record TogetherResponse(IReadOnlyList<RecordDocument> Items, IReadOnlyList<KeyDocument> Missing);

/// <summary>
/// A problem (RFC 9457) with Flotilla's stable <paramref name="Code"/>. With <c>key_expired</c> comes the shard's <paramref name="LogTimeMs"/>, in
/// milliseconds since the Unix epoch. <paramref name="Shards"/>: of a change that one shard refused, how it stands in each, since the others go on. With <c>not_joined</c> comes the
/// <paramref name="Node"/> that says so.
/// </summary>
public sealed record Problem(string Type, string Title, int Status, string? Detail, string Code, LeaderHint? Leader = null, string? Version = null, long? LogTimeMs = null, IReadOnlyList<ShardChangeDocument>? Shards = null, WaitingDocument? Node = null);

/// <summary>A node that belongs to no cluster yet: its name, the RPC address at which it can be added, and the shard that it is for; null if it takes any.</summary>
public sealed record WaitingDocument(string Id, string Rpc, int? Shard);

/// <summary>Who leads, as far as known.</summary>
public sealed record LeaderHint(string? Node, string? Http);

/// <summary>Answer to <c>GET /config</c>.</summary>
public sealed record ConfigDocument(IReadOnlyList<NodeDocument> Nodes, IReadOnlyList<ShardDocument> Shards);

/// <summary>A node of the cluster. Addresses are <c>HOST:PORT</c>.</summary>
public sealed record NodeDocument(string Id, string? Http, string? Rpc, string? Resp, bool Alive);

/// <summary>A shard of the cluster. <paramref name="Moves"/> are slots on their way from it and to it, absent for none: of this moment if its leader answers, else some seconds old.</summary>
public sealed record ShardDocument(int Id, string State, string Mode, string? Leader, ulong Term, IReadOnlyList<string> Voters, IReadOnlyList<string> Learners, IReadOnlyList<string> InSync, int Slots, IReadOnlyList<int[]> Ranges, string Version, IReadOnlyList<MoveDocument>? Moves = null);

/// <summary>
/// A move of slots, as one of its ends sees it: <paramref name="Direction"/> is <c>out</c> or <c>in</c>, <paramref name="Shard"/> the other end.
/// <paramref name="Stage"/> is offering, comparing, staging, catching-up, prepared, frozen or ending; <paramref name="Slots"/> is 0 once it is decided.
/// <paramref name="Records"/> and <paramref name="Bytes"/> are what was sent by the present leader, or staged; <paramref name="RecordsTotal"/> about how many there are, where that is known.
/// <paramref name="BeganMs"/> is the shard's log time then, in milliseconds since the Unix epoch.
/// </summary>
public sealed record MoveDocument(int Shard, string Direction, string Stage, int Slots, long Records, long? RecordsTotal, long? Bytes, long? BeganMs);

/// <summary>Answer to <c>GET /raft/status</c>. <paramref name="Warnings"/> says in words what is amiss at the answering process; absent if nothing is.</summary>
public sealed record RaftStatusDocument(string Node, IReadOnlyList<ReplicaDocument> Shards, IReadOnlyList<string>? Warnings = null);

/// <summary>A replica hosted by the answering node. <paramref name="Role"/> is leader, follower, candidate or learner, or removed if it is no member any more.</summary>
public sealed record ReplicaDocument(int Shard, string Role, ulong Term, string? Leader, ulong CommitIndex, ulong LastApplied, ulong LastLogIndex, ulong SnapshotIndex, IReadOnlyList<string> Voters, IReadOnlyList<string> Learners, bool Admitted, long Keys, long Bytes);

/// <summary>Answer to <c>GET /status</c>. <paramref name="Warnings"/> as in <see cref="RaftStatusDocument"/>.</summary>
public sealed record StatusDocument(string Node, bool Router, string ClusterId, IReadOnlyList<NodeDocument> Nodes, IReadOnlyList<ShardDocument> Shards, long TopologyAgeMs, IReadOnlyList<string>? Warnings = null);

/// <summary>Body of <c>PUT /config/mode</c>: the mode, and of which shards; null for all.</summary>
public sealed record ModeRequest(string Mode, IReadOnlyList<int>? Shards);

/// <summary>Answer to a change of the cluster. Not <paramref name="Done"/>: it is under way, and goes on by itself; ask again to learn how it stands.</summary>
public sealed record ChangeDocument(string? Node, bool Done, IReadOnlyList<ShardChangeDocument> Shards);

/// <summary>How a change stands in one shard; <paramref name="Detail"/> says it in words.</summary>
public sealed record ShardChangeDocument(int Shard, bool Done, string? Detail);

/// <summary>Answer to <c>/addshard</c> and <c>/removeshard</c>: the shard is <paramref name="State"/> now, and goes on by itself. <paramref name="Node"/> is where a new one is born.</summary>
public sealed record ShardLifeDocument(int Shard, string State, string? Node, string? Detail);

/// <summary>Source-generated JSON for all documents: camelCase, nulls left out.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(PutRequest))]
[JsonSerializable(typeof(PutResponse))]
[JsonSerializable(typeof(RecordDocument))]
[JsonSerializable(typeof(DeleteResponse))]
[JsonSerializable(typeof(ListResponse))]
[JsonSerializable(typeof(TogetherResponse))]
[JsonSerializable(typeof(Problem))]
[JsonSerializable(typeof(ConfigDocument))]
[JsonSerializable(typeof(RaftStatusDocument))]
[JsonSerializable(typeof(StatusDocument))]
[JsonSerializable(typeof(ModeRequest))]
[JsonSerializable(typeof(ChangeDocument))]
[JsonSerializable(typeof(ShardLifeDocument))]
public sealed partial class DocumentsJson : JsonSerializerContext;
