using System.Collections.Immutable;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Topology.Gossip;

/// <summary>Who gossips, and how much at a time.</summary>
/// <param name="ClusterId">The cluster; 0 if not known yet, which takes the first that is heard of.</param>
/// <param name="Self">This node's id; null for a router, which is no node and only listens and asks.</param>
/// <param name="Incarnation">Of this node's data directory; 0 for a router.</param>
/// <param name="Boot">This node's boot number.</param>
public sealed record GossipOptions(ulong ClusterId, string? Self, ulong Incarnation, ulong Boot)
{
    /// <summary>Messages are cut to about so many bytes; one with a single item may be longer (<see cref="DescriptorCodec.MaxBytes"/>).</summary>
    public int MessageBytes { get; init; } = 128 * 1024;

    /// <summary>One step answers with at most about so many bytes; the rest is left to the next exchanges.</summary>
    public int StepBytes { get; init; } = 1 << 20;
}

/// <summary>
/// Gossip without I/O: holds the table, says what to send, takes what came. The caller brings time (it asks for an exchange each
/// second) and chance, and carries messages, which may be lost, repeated and come in any order. Not thread-safe; tables are.
/// </summary>
/// <remarks>
/// Two ways for news to spread. A change is told to every known node at once; who misses that hears of it by anti-entropy: each
/// second each node compares digests with one other and both pull what they lack (Demers et al., "Epidemic algorithms for
/// replicated database maintenance", PODC 1987). A share m of nodes that lack an item shrinks to about m² e^(m - 1) in one round:
/// those who asked one of their like, and whom nobody who knows has asked.
/// </remarks>
public sealed class Gossiper
{
    private readonly GossipOptions _options;
    private NodeItem? _own; // What this process said of its node last; null before the first time.

    /// <summary>Begins with what is known already.</summary>
    /// <param name="options">Who gossips.</param>
    /// <param name="table">From this node's disk; empty at the first start.</param>
    public Gossiper(GossipOptions options, GossipTable table)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(table);
        ArgumentOutOfRangeException.ThrowIfEqual(options.Self is not null && options.Incarnation == 0, true, nameof(options));
        _options = options;
        ClusterId = options.ClusterId;
        Table = table;
    }

    /// <summary>The cluster; 0 while unknown.</summary>
    public ulong ClusterId { get; private set; }

    /// <summary>All that is known.</summary>
    public GossipTable Table { get; private set; }

    /// <summary>The other nodes that are known: whom to hold streams to. In order.</summary>
    public IEnumerable<NodeRecord> Others() => Table.Nodes.Select(n => n.Record).Where(n => n.Node != _options.Self);

    /// <summary>
    /// A shard that this node leads says what it is: kept and told to every known node at once. To be called when this node has
    /// become its leader and applied its no-op, and whenever something in the descriptor changes.
    /// </summary>
    /// <param name="descriptor">What it is.</param>
    /// <param name="isUrgent">False if exchanges may carry it in their own time, as the progress of moves.</param>
    /// <exception cref="ArgumentException">The descriptor breaks a rule.</exception>
    public GossipOutput Publish(ShardDescriptor descriptor, bool isUrgent = true)
    {
        ArgumentNullException.ThrowIfNull(descriptor);
        var output = new Step(this);
        var item = ShardItem.Of(descriptor);
        output.Merge([item]);
        if (Table.Find(item) is ShardItem standing && !standing.IsSame(item))
        {
            output.Find(new GossipFinding.Superseded(standing.Descriptor));
        }

        if (isUrgent)
        {
            output.Broadcast(output.Changed);
        }

        return output.Done();
    }

    /// <summary>This node says where it listens. To be called at the start, and whenever something of this changes; nothing happens if nothing has.</summary>
    public GossipOutput Announce(NodeAddresses addresses, bool isReluctant)
    {
        var output = new Step(this);
        if (_options.Self is { } self)
        {
            var known = Table.FindNode(self);
            var said = new NodeRecord(self, _options.Incarnation, _options.Boot, NodeRecord.FirstRevision(_options.Boot), addresses, isReluctant);
            if (known is not null && said.Revision <= known.Record.Revision)
            {
                said = said with { Revision = known.Record.Revision };
                said = said == known.Record ? said : said with { Revision = known.Record.Revision + 1 };
            }

            _own = said == known?.Record ? known : NodeItem.Of(said);
            output.Merge([_own]);
            output.Broadcast(output.Changed);
        }

        return output.Done();
    }

    /// <summary>Begins an exchange with one of these, drawn at random. To be called each second.</summary>
    /// <param name="random">64 random bits, drawn for this call.</param>
    /// <param name="reachable">Those to whom messages can be sent right now, without this node; none is fine.</param>
    public GossipOutput Exchange(ulong random, IReadOnlyList<string> reachable)
    {
        ArgumentNullException.ThrowIfNull(reachable);
        if (reachable.Count == 0)
        {
            return GossipOutput.Nothing;
        }

        var peer = reachable[(int)((UInt128)StableHash.Mix(random) * (ulong)reachable.Count >> 64)];
        var digest = TableDigest.Of(Table, StableHash.Mix(~random));
        return new GossipOutput([new GossipSend([peer], new GossipMessage.Digest(ClusterId, digest))], [], []);
    }

    /// <summary>A message came.</summary>
    /// <param name="from">Who sent it: answers go there.</param>
    /// <param name="message">What it says.</param>
    public GossipOutput Receive(string from, GossipMessage message)
    {
        ArgumentNullException.ThrowIfNull(from);
        ArgumentNullException.ThrowIfNull(message);
        var output = new Step(this);
        if (message.ClusterId != 0 && ClusterId != 0 && message.ClusterId != ClusterId)
        {
            output.Find(new GossipFinding.Foreign(from, message.ClusterId));
            return output.Done();
        }

        ClusterId = ClusterId == 0 ? message.ClusterId : ClusterId;
        var before = Table;
        switch (message)
        {
            case GossipMessage.Digest(_, var digest):
                output.Answer(from, digest);
                break;
            case GossipMessage.Difference(_, var bits, var buckets, var items):
                output.Merge(items);
                output.Complete(from, bits, buckets, items, before);
                break;
            case GossipMessage.News(_, var items):
                output.Merge(items);
                break;
            default:
                throw new ArgumentException($"There is no such message: {message.GetType()}.", nameof(message));
        }

        output.Contradict();
        return output.Done();
    }

    /// <summary>Gathers what one step gives.</summary>
    private sealed class Step(Gossiper gossiper)
    {
        private readonly ImmutableArray<GossipSend>.Builder _sends = ImmutableArray.CreateBuilder<GossipSend>();
        private readonly ImmutableArray<GossipFinding>.Builder _findings = ImmutableArray.CreateBuilder<GossipFinding>();

        public IReadOnlyList<GossipItem> Changed { get; private set; } = [];

        public GossipOutput Done() => new(_sends.ToImmutable(), Changed, _findings.ToImmutable());

        public void Find(GossipFinding finding) => _findings.Add(finding);

        public void Merge(IReadOnlyList<GossipItem> items)
        {
            var before = gossiper.Table;
            gossiper.Table = before.Merge(items, out var changed);
            Changed = [.. Changed, .. changed];
            if (gossiper.Table.ShardCount == GossipTable.MaxShards || gossiper.Table.NodeCount == GossipTable.MaxNodes)
            {
                if (items.Any(item => gossiper.Table.Find(item) is null))
                {
                    Find(new GossipFinding.Full());
                }
            }

            if (gossiper.Table.ShardCount > before.ShardCount)
            {
                foreach (var shard in gossiper.Table.Doubled.Except(before.Doubled))
                {
                    Find(new GossipFinding.DoubledShard(shard));
                }
            }
        }

        public void Broadcast(IReadOnlyList<GossipItem> items) => Send([.. gossiper.Others().Select(n => n.Node)], items);

        public void Send(ImmutableArray<string> to, IReadOnlyList<GossipItem> items)
        {
            if (items.Count > 0 && to.Length > 0)
            {
                _sends.Add(new GossipSend(to, new GossipMessage.News(gossiper.ClusterId, [.. items])));
            }
        }

        /// <summary>
        /// All that this table has in the buckets that differ, cut into messages. It begins at a bucket that the salt chooses:
        /// where there is more than a step may send, every bucket comes first at some time.
        /// </summary>
        public void Answer(string to, TableDigest digest)
        {
            var buckets = digest.BucketsThatDifferFrom(gossiper.Table);
            var items = new List<GossipItem>();
            var chunk = new Chunk(gossiper._options.MessageBytes);
            var left = gossiper._options.StepBytes;
            var start = buckets.Count == 0 ? 0 : (int)(digest.Salt % (ulong)buckets.Count);
            for (var n = 0; n < buckets.Count && left > 0; n++)
            {
                var bucket = buckets[(start + n) % buckets.Count];
                items.Clear();
                gossiper.Table.AddItemsOf(bucket, digest.Bits, items);
                foreach (var item in items)
                {
                    if (!chunk.HasRoomFor(item))
                    {
                        SendDifference();
                    }

                    left -= chunk.Add(item);
                }

                chunk.Buckets.Add((ushort)bucket);
            }

            // Also if there is nothing: that the tables are the same is worth knowing.
            SendDifference();

            void SendDifference()
            {
                chunk.Buckets.Sort();
                _sends.Add(new GossipSend([to], new GossipMessage.Difference(gossiper.ClusterId, digest.Bits, [.. chunk.Buckets], [.. chunk.Items])));
                chunk.Clear();
            }
        }

        /// <summary>
        /// What the other lacks: all that this table had in the buckets, and has still, and that did not come from there. Of a
        /// bucket cut in two the first part may go back once; that does no harm.
        /// </summary>
        public void Complete(string to, int bits, ImmutableArray<ushort> buckets, ImmutableArray<GossipItem> theirs, GossipTable before)
        {
            var ours = new List<GossipItem>();
            foreach (var bucket in buckets)
            {
                before.AddItemsOf(bucket, bits, ours);
            }

            var hashes = theirs.Select(item => item.Hash).ToHashSet();
            var chunk = new Chunk(gossiper._options.MessageBytes);
            var left = gossiper._options.StepBytes;
            foreach (var item in ours)
            {
                if (hashes.Contains(item.Hash) || gossiper.Table.Find(item) is not { } standing || !standing.IsSame(item))
                {
                    continue;
                }

                if (left <= 0)
                {
                    break;
                }

                if (!chunk.HasRoomFor(item))
                {
                    SendNews();
                }

                left -= chunk.Add(item);
            }

            if (chunk.Items.Count > 0)
            {
                SendNews();
            }

            void SendNews()
            {
                _sends.Add(new GossipSend([to], new GossipMessage.News(gossiper.ClusterId, [.. chunk.Items])));
                chunk.Clear();
            }
        }

        /// <summary>
        /// Of this node only this node speaks. What else is heard comes from somebody under its name, or from its own past on a disk
        /// that was wiped: its record rises above that and is told anew.
        /// </summary>
        public void Contradict()
        {
            if (gossiper._own is not { } own || gossiper.Table.FindNode(own.Record.Node) is not { } heard || heard.IsSame(own))
            {
                return;
            }

            Find(new GossipFinding.Impostor(heard.Record));
            Changed = [.. Changed.Where(item => !ReferenceEquals(item, heard))];
            gossiper._own = NodeItem.Of(own.Record with { Revision = heard.Record.Revision + 1 });
            Merge([gossiper._own]);
            Broadcast([gossiper._own]);
        }
    }

    /// <summary>The items of one message, and of which buckets they are all.</summary>
    private sealed class Chunk(int maxBytes)
    {
        private int _bytes;

        public List<GossipItem> Items { get; } = [];

        public List<ushort> Buckets { get; } = [];

        public bool HasRoomFor(GossipItem item) => Items.Count == 0 || _bytes + GossipCodec.LengthOf(item) <= maxBytes;

        /// <summary>Returns how many bytes it takes.</summary>
        public int Add(GossipItem item)
        {
            Items.Add(item);
            var length = GossipCodec.LengthOf(item);
            _bytes += length;
            return length;
        }

        public void Clear()
        {
            Items.Clear();
            Buckets.Clear();
            _bytes = 0;
        }
    }
}
