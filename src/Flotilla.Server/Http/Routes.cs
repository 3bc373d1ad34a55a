namespace Flotilla.Server.Http;

/// <summary>The methods that some route accepts.</summary>
[Flags]
internal enum Verbs
{
    /// <summary>Any other method.</summary>
    None = 0,

    /// <summary>GET.</summary>
    Get = 1,

    /// <summary>HEAD.</summary>
    Head = 2,

    /// <summary>PUT.</summary>
    Put = 4,

    /// <summary>POST.</summary>
    Post = 8,

    /// <summary>DELETE.</summary>
    Delete = 16,
}

/// <summary>Every route. The order is that of <see cref="Routes.All"/>.</summary>
internal enum Route
{
    /// <summary>No route of ours.</summary>
    Unknown = 0,

    /// <summary>The status page.</summary>
    Page,

    /// <summary>One record, by a key in the path.</summary>
    Record,

    /// <summary>A listing, or one record by <c>keyBase64</c>.</summary>
    Records,

    /// <summary>Ancestor: put by query.</summary>
    QueryPut,

    /// <summary>Ancestor: get by query.</summary>
    QueryGet,

    /// <summary>Ancestor: delete by query.</summary>
    QueryDelete,

    /// <summary>Ancestor: get by path.</summary>
    PathGet,

    /// <summary>Ancestor: put by path.</summary>
    PathPut,

    /// <summary>What this process knows.</summary>
    Status,

    /// <summary>Nodes and shards.</summary>
    Config,

    /// <summary>Replicas hosted here.</summary>
    RaftStatus,

    /// <summary>The process is up.</summary>
    Livez,

    /// <summary>The process can serve.</summary>
    Readyz,

    /// <summary>Prometheus text.</summary>
    Metrics,

    /// <summary>The OpenAPI document.</summary>
    OpenApi,

    /// <summary>The state of one shard.</summary>
    Backup,

    /// <summary>Events.</summary>
    Watch,

    /// <summary>Ancestor: add a shard.</summary>
    AddShard,

    /// <summary>Ancestor: remove a shard.</summary>
    RemoveShard,

    /// <summary>Ancestor: make a node a voter.</summary>
    RaftJoin,

    /// <summary>Ancestor: take a node's seats away.</summary>
    RaftLeave,

    /// <summary>Ancestor: make a node a voter, by path.</summary>
    AddVoter,

    /// <summary>Switch the replication mode.</summary>
    ConfigMode,

    /// <summary>Have another voter lead a shard.</summary>
    RaftTransfer,

    /// <summary>Have leaders take snapshots.</summary>
    RaftSnapshot,
}

/// <summary>A route as documents and metrics name it.</summary>
/// <param name="Route">The route.</param>
/// <param name="Template">Its path as the OpenAPI document writes it.</param>
/// <param name="Verbs">What it accepts.</param>
/// <param name="Built">False: answered 501 by this build.</param>
internal sealed record RouteInfo(Route Route, string Template, Verbs Verbs, bool Built = true)
{
    /// <summary>The <c>Allow</c> header.</summary>
    public string Allow { get; } = string.Join(", ", Enum.GetValues<Verbs>().Where(v => v != Verbs.None && Verbs.HasFlag(v)).Select(v => v.ToString().ToUpperInvariant()));
}

/// <summary>The route table: one lookup by raw path, no decoding.</summary>
internal static class Routes
{
    private const Verbs Read = Verbs.Get | Verbs.Head;

    /// <summary>Every route, at the index of its number.</summary>
    public static IReadOnlyList<RouteInfo> All { get; } =
    [
        new(Route.Unknown, "unknown", Verbs.None),
        new(Route.Page, "/", Read),
        new(Route.Record, "/kv/{key}", Read | Verbs.Put | Verbs.Post | Verbs.Delete),
        new(Route.Records, "/kv", Read | Verbs.Put | Verbs.Post | Verbs.Delete),
        new(Route.QueryPut, "/put", Verbs.Get | Verbs.Put | Verbs.Post),
        new(Route.QueryGet, "/get", Read),
        new(Route.QueryDelete, "/delete", Verbs.Get | Verbs.Delete),
        new(Route.PathGet, "/Get/{key}", Read),
        new(Route.PathPut, "/Put/{key}/{value}", Verbs.Get | Verbs.Put | Verbs.Post),
        new(Route.Status, "/status", Read),
        new(Route.Config, "/config", Read),
        new(Route.RaftStatus, "/raft/status", Read),
        new(Route.Livez, "/livez", Read),
        new(Route.Readyz, "/readyz", Read),
        new(Route.Metrics, "/metrics", Read),
        new(Route.OpenApi, "/openapi/v1.json", Read),
        new(Route.Backup, "/backup", Verbs.Get),
        new(Route.Watch, "/watch", Verbs.Get),
        new(Route.AddShard, "/addshard", Verbs.Get | Verbs.Post),
        new(Route.RemoveShard, "/removeshard", Verbs.Get | Verbs.Post),
        new(Route.RaftJoin, "/raft/join", Verbs.Get | Verbs.Post),
        new(Route.RaftLeave, "/raft/leave", Verbs.Get | Verbs.Post),
        new(Route.AddVoter, "/AddVoter/{address}/{id}", Verbs.Get | Verbs.Post),
        new(Route.ConfigMode, "/config/mode", Verbs.Put),
        new(Route.RaftTransfer, "/raft/transfer", Verbs.Post),
        new(Route.RaftSnapshot, "/raft/snapshot", Verbs.Post),
    ];

    /// <summary>The route of a raw path.</summary>
    public static Route Of(ReadOnlySpan<char> path)
    {
        if (path.StartsWith("/kv/", StringComparison.Ordinal))
        {
            return Route.Record;
        }

        return path switch
        {
            "/kv" => Route.Records,
            "/" => Route.Page,
            "/put" => Route.QueryPut,
            "/get" => Route.QueryGet,
            "/delete" => Route.QueryDelete,
            "/status" => Route.Status,
            "/config" => Route.Config,
            "/raft/status" => Route.RaftStatus,
            "/livez" => Route.Livez,
            "/readyz" => Route.Readyz,
            "/metrics" => Route.Metrics,
            "/openapi/v1.json" => Route.OpenApi,
            "/backup" => Route.Backup,
            "/watch" => Route.Watch,
            "/addshard" => Route.AddShard,
            "/removeshard" => Route.RemoveShard,
            "/raft/join" => Route.RaftJoin,
            "/raft/leave" => Route.RaftLeave,
            "/raft/transfer" => Route.RaftTransfer,
            "/raft/snapshot" => Route.RaftSnapshot,
            "/config/mode" => Route.ConfigMode,
            _ when path.StartsWith("/Get/", StringComparison.Ordinal) => Route.PathGet,
            _ when path.StartsWith("/Put/", StringComparison.Ordinal) => Route.PathPut,
            _ when path.StartsWith("/AddVoter/", StringComparison.Ordinal) => Route.AddVoter,
            _ => Route.Unknown,
        };
    }

    /// <summary>The verb of a method token; methods are case-sensitive (RFC 9110, section 9.1).</summary>
    public static Verbs VerbOf(string method) => method switch
    {
        "GET" => Verbs.Get,
        "PUT" => Verbs.Put,
        "DELETE" => Verbs.Delete,
        "POST" => Verbs.Post,
        "HEAD" => Verbs.Head,
        _ => Verbs.None,
    };
}
